"""Replies as models write them, each with the answer that a reader gives, or None where it abstains."""

from collections.abc import Callable, Hashable, Iterable

from executionkit import answers


def wrong(read: Callable[[str], Hashable | None], table: Iterable[tuple[Hashable | None, str]]) -> list[str]:
    """A line for each text that is read as something else than the table says."""
    return [
        f"{text!r}: expected {wanted!r}, got {got!r}"
        for wanted, lines in table
        for text in lines.strip("\n").split("\n")
        if (got := read(text.replace("⏎", "\n"))) != wanted or type(got) is not type(wanted)
    ]


# One reply to a line; ⏎ stands for a line break.
NUMBERS: list[tuple[float | None, str]] = [
    (
        42,
        r"""
The answer is 42!
The answer is 42, which is six times seven.
The answer is 42, as expected.
The answer is 42 (six times seven).
The answer is 42 — the product of six and seven.
The answer is 42; nothing else fits.
The answer is \(42\).
The answer is \(\boxed{42}\).
The answer is **42**.
Therefore, the total is 42 dollars.
So we have x = 42.
$x = 42$
\[ \boxed{x = 42} \]
\boxed{42\,\text{km}}
\boxed{42\ \mathrm{cm}^2}
\boxed{\textbf{42}}
\therefore x = 42
There are about 42 people.
There are exactly 42 people.
It costs 42 dollars or so.
It took 42 minutes.
You get 42!
It is 42% of the total.
The product is 42, isn't that nice? The answer is 42.
6 \times 7 = 42
6 * 7 = 42
20 + 22 = 42 apples
- 42
Answer:⏎- 42
Answer: 42⏎⏎Explanation: multiply six by seven.
The answer is 41. Sorry, the answer is 42.
I first thought the answer is 41, but the answer is 42.
42GB
42kWh
42 mph
42 lbs
42min
42hrs
42h
42 hours
42 years old
42,000 m is too far; the answer is 42 km.
42 out of the apples are red.
NT$42
CAD 42
42 JPY
₩42
| 42 |
{"answer": 42}
Result: 42.⏎
Total: $42
４２
The answer is ４２.
The answer is &#52;2.
""",
    ),
    (
        -5,
        r"""
-5
−5
‑5
–5 is wrong; the answer is -5.
\boxed{-5}
\boxed{−5}
$-5$
$- 5$
\(- 5\)
(-5)
(- 5)
-$5
-\$5
$-5
minus 5
Minus 5 degrees
It is minus 5 degrees.
The result is therefore minus 5.
The answer is minus 5.
The answer is negative 5.
The answer is −5.
The answer is: -5
x = -5
x=-5
3 - 8 = -5
－５
&minus;5
The temperature dropped to −5 °C.
""",
    ),
    (
        5_000_000,
        r"""
5 million
5 million dollars
$5 million
US$5 million
The answer is 5 million.
The answer is $5 million, roughly.
5e6
5E6
5 × 10^6
5 \times 10^{6}
5 \cdot 10^6
5·10^6
5*10**6
5 x 10^6
5,000,000
5 thousand thousand
500万
答案是500万。
50 lakh
0.5 crore
5000 thousand
""",
    ),
    (500_000, "5 hundred thousand\n5 lakh\n50万\nhalf of it, or 0.5 million"),
    (60, "5 dozen\n5 dozen eggs\nThe answer is 5 dozen."),
    (1_200_000_000, "1.2 billion\n$1.2 billion\n1.2e9\n1.2 x 10^9\n12亿\n12億"),
    (2.5, "2.5\n5/2\n2 1/2\n\\frac{5}{2}\n$2\\frac{1}{2}$\n2.5 kg\n$2.50\n2.5%\n２．５"),
    # Lists.
    (
        None,
        r"""
The answer is 3, 5, and 7.
The answer is 3, 5.
The answer is 3,5.
The answer is 3 and 5.
The answer is 3 & 5.
The answer is 3; 5.
The answer is 3;5
Answer: 3, 5 and 7
Answer: 3⏎5
Answer: 3⏎5⏎7
Answer: {3, 5, 7}
Answer: [3, 5]
\boxed{3, 5}
\boxed{3 \text{ and } 5}
\boxed{\{3, 5\}}
\boxed{(3, 5)}
\boxed{x = 3, y = 5}
#### 3, 5
<answer>3, 5, 7</answer>
The answer is x = 3 or x = 5.
The answer is x = 3, y = 5.
The answer is x = 3 and y = z.
The answer is (3, 5).
The answer is (3, y).
The answer is 3, -5.
The answer is 3, $5.
The answer is 3 dollars, 50 cents.
The answer is 3 dollars and fifty cents.
The answer is 3 hours, 15 minutes.
The answer is 3 apples and four pears.
The answer is 3 or four.
The answer is 42. No, the answer is 3 or 4.
The primes are 2, 3, 5.
1) 3⏎2) 5
3⏎5⏎7
- 3⏎- 5
答案是3、5和7。
答案是3，5，7。
答えは3と5です。
La respuesta es 3 y 5.
Die Antwort ist 3 oder 5.
""",
    ),
    # Intervals, ranges and bounds.
    (
        None,
        r"""
3-5
3–5
3—5
3 - 5
3 to 5
from 3 to 5
3 through 5
between 3 and 5
between 3 and five
between three and 5
three to 5
3 to five
3 to n
3..5
3…5
3~5
[3, 5]
(3, 5]
[3, \infty)
(3, ∞)
(-∞, 3]
(-\infty, 3)
[3, inf)
x \in [3, 5]
x \in (3, \infty)
x > 3
x ≥ 3
x >= 3
x => 3 or so, not more
x < 3
x \le 3
x \leq 3
x \geq 3
$x \lt 3$
x \ne 3
x != 3
x ≠ 3
&gt; 3
&le; 3
3 < x
3 ≤ x ≤ 5
3 \le x
≤ 7
<3
>3
±3
\pm 3
+/- 3
plus or minus 3
3 ± x
at least 3
At least 3 people
at the least 3
at most 3
at the very most 3
more than 3
less than 3
fewer than 3
greater than 3
no more than 3
no fewer than 3
not more than 3
up to 3
over 3
over $3
under 3
above 3
below 3
beyond 3
within 3
exceeds 3
not exceeding 3
exceeding 3
upwards of 3
as many as 3
as few as 3
a minimum of 3
a maximum of 3
max. 3
min 3
starting at 3
starting from 3
until 3
3+
3 +
3+ years
3 years+
3 or more
3 or fewer
3 people or more
3 or higher
3 and above
3 and up
3 (or more)
3 or less
3 at least
3 at most
The answer is at least 3.
The answer is 3 or more.
The answer is more than 3.
The answer is over 3.
The answer is ≥ 3.
\boxed{x > 3}
\boxed{\geq 3}
\boxed{3 \text{ or more}}
\boxed{\text{at least } 3}
至少3
答案是至少3。
答案是3以上。
超过3个
不到3
3個以上です
答えは3以上です。
mindestens 3
mehr als 3
au moins 3
plus de 3
más de 3
al menos 3
""",
    ),
    # Signs that can't be told from bullets, words of subtraction, other ways to be below zero.
    (
        None,
        r"""
\boxed{– 5}
The answer is - 5.
The answer is – 5.
The answer is — 5.
Answer: - 5
#### - 5
<answer>- 5</answer>
x = - 5
–5
—5
-(5)
- (5)
-{5}
--5
x minus 5
ten minus 5
The total minus 5
5 minus x
5-
5 degrees below zero
5 °C below zero
""",
    ),
    # Expressions.
    (
        None,
        r"""
2+3
2 + 3
2 + x
x + 2
2x
2 x
2y
2xy
2ab
2n
2i
3 + 2i
2/x
x/2
x - 2
2 - x
2 - 3x
x = 5y
The answer is 5 - x.
The answer is 5x.
The answer is 5 + x.
\boxed{5x}
\boxed{x + 5}
\boxed{5 - x}
\boxed{5\pi}
\boxed{2\sqrt{3}}
\boxed{\sqrt{16}}
\boxed{\frac{x}{2}}
\boxed{\frac{2}{x}}
\boxed{x^2}
\boxed{2^n}
\boxed{5!}
\boxed{\log 5}
\boxed{\sin 30^\circ}
$5!$
5!
sqrt(16)
sqrt 16
√16
the square root of 16
f(5)
log(5)
ln 5
sin 30
cos(0)
2^10
2**10
10^6
10^{6}
5 squared
5 cubed
5 factorial
5 choose two
5 choose k
twice 5
double 5
half of 5
5 times x
5 times as many
x times 5
x plus 5
5 plus x
five plus 5
x divided by 5
5 divided by x
5 mod x
5 pi
5pi
5 π
(2)(3)
5(x + 1)
5 = x + y
5 % 3
|-5|
e^5
x_1
x_{12}
101_2
0x1F
0xFF
0b101
5 more than x
5 less than x
""",
    ),
    # Dates, times, versions, ratios, phone numbers, ordinals, references.
    (
        None,
        r"""
2020-01-02
01/02/2020
12/05
05/12
1.2.2020
May 5
May 5th
5 May
5th of May
March 2020
Jan. 5
January 5, 2020
The answer is May 5, 2020.
The answer is May 5.
5 May 2020
5. Mai
le 5 mai
5 de mayo
44 BC
AD 79
1990s
the 90s
the 90's
5月
5月3日
2020年5月
3:30
3:30 pm
3 pm
3pm
3 p.m.
at 3 AM
3 o'clock
half past 3
quarter to 3
5 minutes past noon
3時です
15h30
3 Uhr
1.2.3
v2
v2.5
v1.2.3
version 3
version 3.11
I would use Python 3.11 for this.
We fly with Boeing 747 today.
3:4
3 to one
1 in five
one in 5
one out of 5
5 out of ten
for every 5
per 5
555-1234
555-123-4567
(555) 123-4567
+1 555 123 4567
1-800-FLOWERS
192.168.0.1
3rd
3 rd
the 3rd
5-year-old
a 3-digit code
10-fold
step 3
Step 3
question 3
No. 3
#3
§3
№3
p. 3
pp. 3
Fig. 3
Eq. 3
Theorem 3
第3
这是第3题。
see line 3
COVID-19
H2O
GPT-4
B12
""",
    ),
    # Parts of numbers in words, scales that differ from place to place.
    (
        None,
        r"""
5 and a half
5 and a quarter
5 and three quarters
5 halves
3 fifths
3 tenths
3k
3K
3 k
$3k
3M
3 M
3B
3bn
3 mn
3 mio
3 tn
3 mil
3 grand
3 thou
3 score
3 gross
3 zillion
3 Millionen
3 Mio.
3 Milliarden
3 millones
3 milliards
3 миллиона
3 млн
3千
3百
3兆
3만
3 hundred and six
3 million two hundred thousand
3 thousand and one
三分之2
5分之3
forty-two
½
3½
10⁶
""",
    ),
    # Denials.
    (
        None,
        r"""
It is not 5.
not 5
It isn't 5.
never 5
neither 5
The answer is not 5.
The answer is unknown; 5 is a guess.
The wrong answer is 5.
答案不是5。
这不是5。
答えは5ではありません。
Die Antwort ist nicht 5.
""",
    ),
]


def test_numbers() -> None:
    assert "\n".join(wrong(answers.number, NUMBERS)) == ""

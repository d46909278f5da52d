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
12월
제3장
2020年5月
The answer is 2024/25.
Season 1999/2000
The answer is 0.333...
The answer is 0.3̅.
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
    # The same again, of all kinds.
    (
        42,
        r"""
42 (approximately)
The answer is $\boxed{42}$ dollars.
Thus, the answer is \( 42 \).
The final answer is $42$. I hope it is correct.
Final Answer: The final answer is $42$. I hope it is correct.
So the answer is 42 square meters.
There were 42 trees at the end.
She has 42 left.
He pays $42 in total, including tax.
The answer is 42 and that is all.
The answer is 42 and nothing else.
Answer: 42 (see above)
The answer is 42: six by seven.
The answer is 42⏎⏎Let me explain.
The answer is 42.⏎⏎Step 1: 6⏎Step 2: 7
**Answer: 42**
### Answer: 42
Answer: **42 apples**
Answer: $42$ apples
The sum is 42, so the answer is 42.
42 to be exact
The answer is 42 to be exact.
Answer: 42 m/s
Answer: 42 m/s^2
Answer: 42 N
Answer: 42 J
Answer: 42 kg
Answer: 42 USD
Answer: 42.0 cm³
Answer: 42 cubic feet
Answer: 42 in
Answer: 42 in.
Answer: 42 feet
The answer is 42 in total.
It took 42 days in May.
In total there are 42.
The minimum is 42.
The maximum value is 42.
The maximum: 42
Over the weekend he saved 42 dollars.
After 42 days
the number of ways is 42
Number of ways: 42
n = 42 ways
So $n = 42$.
\(n=42\)
\[\text{Total} = 42\]
The profit is \$42.
The answer is \$42.
The answer is 42 \text{ km/h}.
\boxed{42 \text{ miles}}
\boxed{42^\circ}
\boxed{42\text{ cm}^2}
$$\boxed{42}$$
\boxed{\$42}
\boxed{\$42.00}
<answer>$42</answer>
<answer> 42 </answer>
#### 42⏎
#### $42
答案是42。
答案是：42
答案：42
答案为42个苹果。
最终答案是42。
因此，正确答案是 42 。
答案是42，因为6乘以7等于42。
答えは42です。
答えは 42 です
答え：42
答：42
正解は42です。
答えは４２です。
答えは42個です。
答案是４２。
答案是42元。
答案是42%。
答案是 $42$。
答案是\boxed{42}。
정답은 42입니다.
답: 42
6×7=42，所以答案是42。
一共有42个苹果。
最後の答えは42円です。
答えは、42です。
答えは42になります。
答えは42だ。
答えは42である。
回答：42
答案应该是42。
答案就是42。
Die Antwort ist 42.
Die Antwort lautet: 42
Antwort: 42
La réponse est 42.
Réponse : 42
La respuesta es 42.
Respuesta: 42
La risposta è 42.
A resposta é 42.
Resposta: 42
Het antwoord is 42.
Ответ: 42
Odpowiedź: 42
La respuesta correcta es 42, porque 6*7=42.
Die richtige Antwort ist 42, weil 6*7=42.
La réponse est 42, car 6*7=42.
""",
    ),
    (
        1234567,
        r"""
1,234,567
\boxed{1{,}234{,}567}
""",
    ),
    (
        1000000,
        r"""
The answer is 1,000,000 people.
""",
    ),
    (
        0.75,
        r"""
3/4
The answer is 3/4 of the cake.
\boxed{\frac{3}{4}}
""",
    ),
    (
        -0.75,
        r"""
\boxed{-\frac{3}{4}}
$- \frac{3}{4}$
-3/4
""",
    ),
    (
        0.001,
        r"""
1e-3
1 × 10^-3
1 \times 10^{-3}
""",
    ),
    (
        1500000,
        r"""
1.5 million dollars
about 1.5 million people
""",
    ),
    (
        None,
        r"""
The answer is 3 and a half.
somewhere between 3 and 5
3, 5 or 7
no fewer than 3 and no more than 5
x ∈ (3, 5)
[3; 5]
]3, 5[
3 < x < 5
x lies above 3
a number above 3
anything over 3
not less than 3
nearly 3 to 4
3-ish to five
3 plus
in excess of 3
strictly less than 3
does not exceed 3
can't be more than 3
a maximum of 3 people
limited to 3
anywhere from 3
3 or thereabouts, perhaps 4
3 minimum
3 maximum
3 at the least
3 tops
greater than or equal to 3
larger than 3
≥ 3
=> 3+
\ge 3
\gtrsim 3
x \geqslant 3
x\leq3
x<3
x>3
3>x
noon, or 12 pm
12 noon
12 midnight
7 in the morning
7 in the evening
at 7:00
7h30
19:30 Uhr
7 a. m.
quarter past 7
7:30 in the morning
Monday, May 5
the 5th of May
5-May-2020
May 2020
2020/05/12
12.05.2020
2020-05
Q3 2020
the year 44 BCE
the 20th century
20th
the mid-90s
'90s
version 2.0
v. 2
Version: 2.0
release 2
2.0.1-beta
2.x
1:2
2 : 1
2 to one odds
3-to-1
a ratio of 3 to x
3:x
x:3
1∶2
tel. 555 1234
+49 30 1234567
(030) 1234
555.123.4567
call 1-800-CALL
3a
3n + 1
n + 3
3(n+1)
3n
n/3
3/n
3^n
n^3
2 to the power of n
3 times n
3 over n
3 * x
3·x
3 ⋅ x
x·3
3 - y
y - 3
3 – y
y–3
-x + 3
3 = x - y
3%2
3 mod n
log_2 n
log₂ 8
ln(3)
e^{3}
exp(3)
3 e
3√x
√(3)
3 root x
∛8
cube root of 8
\sqrt[3]{x}
\binom{5}{k}
\binom{n}{5}
P(5)
5P
C(n, 5)
5 choose r
n choose 5
\frac{5}{x+1}
\frac{x+1}{5}
\pi/4
π/4
4/π
4\pi
\frac{\pi}{4}
5 log n
5 \cdot x
5 \times n
\lfloor 5 \rfloor
\overline{5}
5 \mod x
\sum_{i=1}^n i
3 million to four million
3 or 4 million
3-5 million
3 MM
$3b
$3B
$3m to $4m
3mil
€3bn
3 Mrd.
3 mil millones
3 thousand odd
3 myriad
a loss of minus x
- $5
−(5)
-\left(5\right)
\boxed{-(5)}
negative (5)
- - 5
+ - 5
–$5
—5
⁻5
5−
5 −
five minus 5
\boxed{-5, 5}
\boxed{\pm 5}
\boxed{5, \infty}
\boxed{[5, \infty)}
\boxed{5 < x}
\boxed{5:30}
\boxed{5\text{ PM}}
\boxed{\text{May } 5}
\boxed{5k}
\boxed{5\text{k}}
\boxed{5 \text{ to } 7}
\boxed{5-7}
\boxed{5\text{--}7}
\boxed{y = 5x}
\boxed{5i}
\boxed{5e}
\boxed{5 \text{ or } x}
The answer is 5 or so, maybe 6.
The answer is 5 dollars or less.
The answer is 5:30.
The answer is 5 PM.
The answer is 5k.
The answer is $5k.
The answer is x > 5.
The answer is 2x + 5.
The answer is [5, 10].
The answer is 5 to 10.
The answer is 5-10.
The answer is 5/x.
The answer is 5:1.
The answer is July 4th.
The answer is July 4.
The answer is 4 July.
The answer is between 5 and 10.
The answer is 5th.
The answer is {5, 6}.
The answer is 5; 6; 7.
The answer is: 5, 6
The answer is:⏎5⏎6
The answers are 5 and 6.
The answers are 5, 6.
The answer is:⏎- 5⏎- 6
Answer: 5, then 6
Answer: x=5, y=z
The answer is 5 × x.
The answer is sqrt(5).
The answer is √5.
答案是3到5。
答案是3至5之间。
答案是3~5。
答案是5月3日。
答案是5点。
答案是大约3或4。
答えは3から5です。
答えは3以下です。
答えは5時です。
答案是不确定的，可能是3。
答案是三分之2。
答案是3:4。
答案是x+3。
答案是3x。
答案是5千。
第3个
答案不是3。
错误答案是3。
答案是3、5。
答案是3和5。
答案是3或5。
答案是3或五。
答案是超过3。
""",
    ),
    (
        -5,
        r"""
The answer is -5.
The answer is −$5.
The answer is -$5.00.
\boxed{-5}
It's −5 degrees.
a change of -5
equals minus 5
The value is negative 5.
= -5
≈ −5
答案是−5。
答案是负5。
答えはマイナス5です。
答えは-5です。
零下5度
""",
    ),
    (
        50000,
        r"""
答案是5万。
""",
    ),
    (
        500000000,
        r"""
答えは5億です。
""",
    ),
    (
        None,
        r"""
The solutions are -2 and 3.
The roots: 2, 3
x = -2, 3
\{1, 2\}
The answer is 1, 2, ..., n.
either 3 or 5
3 respectively 5
The answer is 3 with 5 left.
The answer is 5 (or 6).
The answer is 5, or possibly 6.
Answer: 5 / 6 / 7
Answer: 5 | 6
\boxed{3 \le x}
\boxed{x\in(3,5)}
\boxed{3\text{ to }5}
\boxed{\text{more than }5}
\boxed{5+}
\boxed{\approx 5 \text{ or } 6}
\boxed{5^{\text{th}}}
\boxed{5^\text{th}}
\boxed{5\text{th}}
\boxed{10^{5}}
\boxed{2^5}
\boxed{\$5\text{k}}
\boxed{-\sqrt{5}}
\boxed{-x + 5}
\boxed{\frac{5}{\sqrt{x}}}
\boxed{5 \text{ PM}}
\boxed{\text{Monday, May } 5}
at minimum 5
no smaller than 5
not under 5
5 at minimum
5 or so at least
5, give or take 1
5 plus or minus 1
up to and including 5
5 upwards
5 and upwards
from 5 upwards
5 or better
the range is 5 to ten
below 5
just under 5
just over 5
slightly more than 5
almost 5 or 6
5 dollars and up
starting from $5
at 5 or above
≥5
>= 5
5 ≥ x
5 or greater
no later than 5
by 5 pm
5 people at most
five to 7
ca. 3-5
5 x 3
5 x y
5a + b
a + 5b
5(x)
5 sqrt(2)
5 sqrt(x)
(x - 5)
(5 - x)
x^5
5 * n!
n! / 5
|x| = 5 or x
5 ÷ x
x ÷ 5
x / 5
5 / x
y = 5 + x
y = x + 5
y = 5x
log10(x)
5 percent of x
half of 10
a third of 12
the sum of 5 and x
the product of 5 and n
5 multiplied by x
x added to 5
5 divided by x
5 raised to x
5 to the x
the cube of 5
the fifth root of 5
on May 5th
5/May/2020
May 5, '20
Tuesday the 5th
Sept. 5
5. September
20:15
8 pm
8PM
8 P.M.
8 o’clock
8:00
08:00
8.30 am
a quarter to 8
2nd
21st century
1st place
in the 1800s
4:3 aspect
16:9
1:1000
one to 5
5 to 1
5-to-1
odds of 5 to one
iOS 17.2.1
v3.0
ver. 3
build 3.0.1
2.5k
2.5 k
€2.5M
2.5 Mio. €
2,5 Millionen
""",
    ),
    (
        5000000,
        r"""
\boxed{5 \text{ million}}
\boxed{\$5\text{ million}}
\boxed{5 \times 10^6}
""",
    ),
    (
        -5,
        r"""
\boxed{-5\%}
\boxed{-\$5}
\boxed{-5^\circ \text{C}}
The answer is: **-5**
**−5**
Answer: -5 dollars
It is -5%.
minus five, i.e. -5
the final answer is \(-5\).
The answer is $-5$.
""",
    ),
    (
        -0.5,
        r"""
\boxed{-\frac{1}{2}}
-1/2
""",
    ),
    (
        -1234,
        r"""
-1,234
""",
    ),
    (
        -1500,
        r"""
-1.5 thousand
""",
    ),
    (
        -3000000,
        r"""
minus 3 million
-$3 million
""",
    ),
    (
        4500000,
        r"""
4.5 million
4.5 million euros
""",
    ),
    (
        24,
        r"""
2 dozen
""",
    ),
    (
        250000,
        r"""
2.5 lakh
""",
    ),
    (
        3,
        r"""
I have 3 sisters.
3
3 A
3 V
""",
    ),
    (
        18,
        r"""
She makes 9 * 2 = $18 every day.⏎#### 18
Janet makes $18.⏎⏎The answer is $18.
""",
    ),
    (
        0.5,
        r"""
The probability is 1/2.
The probability is \frac{1}{2}.
""",
    ),
    (
        0.25,
        r"""
P = 0.25
""",
    ),
    (
        12,
        r"""
x = 12
There are 12 months in a year.
""",
    ),
    (
        7,
        r"""
The minimum value is 7.
7 days
7
""",
    ),
    (
        100,
        r"""
100°C
""",
    ),
    (
        9.8,
        r"""
9.8 m/s²
""",
    ),
    (
        60,
        r"""
60 mph
""",
    ),
    (
        5,
        r"""
5 times
He did it 5 times.
5 of them
5 in all
5
5 and that's it
The answer is 5, so we are done.
""",
    ),
    (
        2020,
        r"""
in 2020
It was 2020.
""",
    ),
    (
        15,
        r"""
15 minutes
It takes 15 minutes to get there.
15
""",
    ),
    (
        6,
        r"""
6 feet
He is 6 feet tall.
""",
    ),
    (
        40,
        r"""
40 hours a week
$40 per hour
$40/hour
40 miles/hour
40 km per hour
""",
    ),
    (
        25,
        r"""
25 cents
""",
    ),
    (
        70,
        r"""
70 percent
seventy (70)
""",
    ),
    (
        4,
        r"""
**Answer:** \(4\)
4 is the answer.
4
Four (4).
I'd say 4.
Total: 4 eggs.
Tom has 4 more.
4 more
He needs 4 more apples.
""",
    ),
    (
        70000,
        r"""
\boxed{70,\!000}
""",
    ),
    (
        3.5,
        r"""
\boxed{\dfrac72}
\boxed{\frac72}
""",
    ),
    (
        -0.5,
        r"""
\boxed{-\frac12}
\boxed{\frac{-1}{2}}
The answer is $\frac{-1}{2}$.
""",
    ),
    (
        100,
        r"""
The answer is 100 rather than 99.
The answer is 100 instead of 99.
""",
    ),
    (
        12,
        r"""
\boxed{f(2) = 12}
\boxed{x_1 = 12}
""",
    ),
    (
        None,
        r"""
The answer is option (3).
The answer is Apollo 11.
The answer is Boeing 747.
The answer is Windows 11.
Three of the 4 are red.
In week 3.
On day 3.
Room 42
Flight 370
Grade 3
Class 5
Level 5
Type 2 diabetes
Stage 3 cancer
Amendment 14
Rule 11
Route 66
Highway 101
Fahrenheit 451
nr. 1
Nr. 5
n° 5
Abs. 3
Kap. 3
ver 3
Python 3
p = 0.05?
Is it 42?
42?
Maybe 42?
42 (?)
42 ???
The answer is 12 if x is 1 and 13 otherwise.
The answer is 12 for Alice and 13 for Bob.
не 3
не менее 3
более 3
больше 3
3 мая
в 3 часа
inte 3
co najmniej 3
więcej niż 3
en az 3
少なくとも3
最大3
적어도 3
최대 3
ab 3
答案是3的倍数。
答案是3的平方。
答えは少なくとも3です。
정답은 3이 아닙니다.
Die Antwort ist 3. Mai.
Die Antwort ist der 3. Mai.
Ответ: не менее 3.
Ответ: 3 мая.
Ответ: больше 3.
""",
    ),
    (
        None,
        r"""
I don't think the answer is 42.
It is not true that the answer is 42.
Suppose the answer is 42.
One might think the answer is 42.
A common mistake is that the answer is 42.
Some people say the answer is 42, but that is wrong.
The answer is 42. Wait, that's wrong.
The answer is 42. Wait, let me recheck: 6 * 8 = 48.
The answer is 42... actually, 43.
The answer is 42, I mean 43.
\boxed{42}⏎⏎Hold on, let me recount.
<answer>42</answer> Correction: 43
It is 42. Oops, I forgot one.
~~42~~
The answer is 42. But that can't be right.
答案：42。抱歉，是43。
The answer is Ann: 42, Bob: 43.
Answer:⏎- Ann: 42⏎- Bob: 43
The answer is 42, give or take 3.
The answer is iPhone 42.
答案是42。等等，应该是43。
如果答案是42，那么x是偶数。
答えは42を超えます。
答えは3番目です。
정답은 42보다 큽니다.
정답은 1990년대입니다.
""",
    ),
    (
        42,
        r"""
Wait, I forgot the tax. The answer is 42.
I'm not sure, but the answer is 42.
There is no doubt that the answer is 42.
The answer is 42. No further steps are needed.
The answer is 42. Actually, that is also what the book gives.
The answer is 42. Wait for it to cool.
If x = 2, then the answer is 42.
41. Wait, that's wrong.⏎⏎42
First I get 2 + 2 = 4. Wait, no.⏎Let me redo it.⏎⏎**42**
~~41~~ 42
Final answer (in km): 42
""",
    ),
    (2000, "2000\nThe answer is 2000."),
    # Supposed, of another case, without the data for an answer
    (
        None,
        r"""
Say the answer were 8.
Suppose there are 8 children.
Angenommen, es sind 8 Kinder.
Если ответ 5, то x простое.
Se tutti venissero, la risposta sarebbe 12.
If the train were faster, the answer would be 240.
If it rains, the answer is 5; otherwise, the answer is 7.
The student's answer is 8.
Answer: none of the 4 values satisfies the equation.
Impossible de répondre : on sait seulement qu'il y a 12 garçons.
情報が足りません。りんごが5個あることしかわかりません。
정보가 부족합니다. 남학생이 15명이라는 것만 알 수 있습니다.
7 ist falsch.
La réponse est soit 36, soit 38.
""",
    ),
    # Taken back
    (
        None,
        r"""
Die Antwort ist 8. Ich habe mich verrechnet, es sind 9.
La réponse est 8. Je me suis trompé, c'est 9.
답은 12입니다. 아, 다시 계산해 보니 13입니다.
The answer is 8. Let me double-check: 3 + 6 = 9. So it should be 9, not 8.
""",
    ),
    (
        12,
        r"""
If we subtract 8 from 20, the answer is 12.
Si el tren no se detiene, la respuesta es 12.
The answer would be 12.
Die richtige Antwort ist 12, nicht 14.
Sommando, si ottiene 12.
The most likely answer is 12.
Endergebnis: 12
""",
    ),
]


EUROPEAN: list[tuple[float | None, str]] = [
    (
        2500000,
        r"""
2,5 Millionen
2,5 Mio. Euro
2,5 millions d'euros
2,5 millones
""",
    ),
    (
        2500000000,
        r"""
2,5 Milliarden Euro
2,5 milliards
""",
    ),
    (
        2500,
        r"""
2,5 tausend
""",
    ),
    (
        2000000000,
        r"""
2 mil millones
""",
    ),
    (
        None,
        r"""
2,5 Billionen
mindestens 3
3 oder 5
3 bis fünf
Die Antwort ist 3 und 5.
am 5. Mai
der 5. Tag
um 5 Uhr
menos de 5
más de 5
über 5
""",
    ),
    (
        42,
        r"""
Die Antwort lautet 42.
""",
    ),
    (
        3.5,
        r"""
Die Antwort ist 3,5.
La réponse est 3,5.
""",
    ),
    (
        -5,
        r"""
minus 5
moins 5
menos 5
""",
    ),
    (
        1234.5,
        r"""
Das Ergebnis ist 1.234,5.
""",
    ),
    (
        3_500_000,
        r"""
3,5 milhões de reais
""",
    ),
    (
        None,
        r"""
ab 3,5
halb 3
Nr. 3
Seite 3
Kapitel 3
Frage 3
Schritt 3
Platz 3
3 % von x
à 3 h
n° 3
3ème
no es 3
a las 3
3.º
alle 3
не 3
не менее 3
более 3
больше 3
меньше 3
3 мая
в 3 часа
inte 3
minst 3
co najmniej 3
więcej niż 3
en az 3
少なくとも3
最大3
적어도 3
최대 3
""",
    ),
    (
        None,
        r"""
La respuesta es la página 12.
La réponse est l'étape 12.
Ответ: глава 12.
A resposta é no mínimo 12.
La réponse est 12 au maximum.
La respuesta es inferior a 12.
Die Antwort übersteigt 12.
La réponse est la moitié de 12.
Die Antwort ist 12 zum Quadrat.
Je ne pense pas que la réponse est 12.
Si la respuesta es 12, x es primo.
Die Antwort ist 12, nein, 13.
La réponse est 12. Attendez, c'est 13.
""",
    ),
    (12, "Das Maximum ist 12.\nSi on compte bien, la réponse est 12.\nDie Antwort ist 12, nicht 13."),
]


CHOICES: list[tuple[str, str | None, str]] = [
    (
        "ABCD",
        "B",
        r"""
B
b
(B)
B.
B. Paris
B) Paris
B: Paris
B - Paris
Option B
The answer is B.
The answer is (B).
The answer is B, Paris.
The answer is B, since C is wrong.
The answer is B, C is wrong.
The answer is B, C and D are wrong.
The answer is B, not C.
The answer is B (Paris).
The answer is B) a library.
The answer is clearly B.
The answer is option B.
The answer is b
The answer is: b.
The correct option is B.
The correct choice is (B).
I choose B.
I would go with B.
I pick B because it fits.
I think B is right.
It must be B.
So B.
Therefore, B.
So, it is B.
Hence the answer is B.
My final answer is B.
Response B is better.
Assistant B gives more detail.
Model B wins.
Statement B is true.
Only B fits.
B is the best choice.
B fits best.
B would be correct.
B explains it.
The best answer is B because it is precise.
Answer: B⏎⏎A Southern blot is something else.
Answer: B⏎Explanation: Vitamin C is not made in the body.
Answer: B, as Vitamin C is an acid.
A Southern blot is for DNA, so the answer is B.
A protein is detected by this. The answer is B.
(A) is wrong, so (B) it is. The answer is (B).
**B**
**B) Paris**
**Answer: B**
**Answer:** B
<answer>B</answer>
\boxed{B}
\boxed{\text{B}}
\boxed{\mathrm{(B)}}
#### B
$\boxed{\textbf{(B)}}$
答案是B。
答案：B
答案：B，因为它最好。
正确答案是 B。
正确答案：（B）
故选B。
故选：B
所以选B
因此，答案选B。
正确选项是B。
答案为Ｂ。
（Ｂ）
答案是B选项。
正解は（B）
正解は（B）です。
答えはBです。
答えは「B」です。
正解：B
정답은 B입니다.
정답: B
Doğru cevap B şıkkıdır.
Die richtige Antwort ist B.
Antwort: B
Die Antwort lautet B.
La réponse est B.
La bonne réponse est la B.
Réponse : B
La respuesta correcta es la B.
Respuesta: B
La risposta corretta è la B.
Risposta: B
A resposta correta é B.
Resposta: B
Het antwoord is B.
Правильный ответ: B
Đáp án: B
""",
    ),
    (
        "ABCD",
        None,
        r"""
Answer: A, B, D
Answer: A, B and D
Answer: A and C
Answer: A & C
Answer: A/C
Answer: A; C
Answer: A + C
Answer: A, C
Answer: (A), (C)
Answer: (A) and (C)
Answer: A or B
Answer: either A or B
Answer: A (and C)
Answer: A⏎B
Answer: A⏎C⏎D
Answer: A. B. D.
Answer: A - D
Answer: A-D
Answer: A to C
Answer: ABD
The answer is A, B, D.
The answer is A, B, and D because all are true.
The answer is both A and C.
The answer is A and D.
The answer is either B or C.
The answer is B. No, the answer is B or C.
\boxed{A, C}
\boxed{A \text{ and } C}
<answer>A, C</answer>
#### A, B
A, B, D
A and C
A & C
A, C
A C
A/B
A to C
A through D
either A or B
both A and B
a, b
a and c
a, b and d
Options A and C
A is as good as C.
(A) or (C)
A. B. C.
A Southern blot is used for this.
A Western blot.
A dog.
A good idea.
A new York minute.
A Midsummer Night's Dream
It is a Southern blot.
I read A Brief History of Time.
A level playing field.
5 A
25 C
25 °C
25° C
37 °C is the right temperature.
The answer is 25 C.
The current is 5 A.
10 D
Vitamin C
The answer is Vitamin C.
The answer is vitamin C.
Vitamin C is an acid.
vitamin D
Plan B
We need a plan B.
The answer is Plan B.
Hepatitis B
Hepatitis B is a virus.
C major
The key is C major.
The answer is C major.
D minor
B flat
C sharp
Exhibit A
Exhibit A is the knife.
Group B streptococcus
Type A blood
blood type B
Schedule C
Section D
Grade A eggs
I'd give it a B.
He got an A.
B cells
B cells make antibodies.
The answer is B cells.
B vitamins are needed.
B movie
D day
D-Day
C section
C++
C#
C-section
A+
B+
A-level
It is written in C.
the C language
R&D
A&E
U.S.A.
D.C.
a.m.
A.M. and P.M. differ.
C. S. Lewis wrote it.
B. B. King
Arthur C. Clarke
Mr. B said so.
John D. Rockefeller
Appendix A
drive C
serie A
A's
B's
not B
Not B.
The answer is not B.
anything but B
It is anything but B.
all except B
rule out B
B can be ruled out.
B is excluded.
B is wrong.
B is out of the question, it isn't right.
rather than B
far from B
B?  I don't know.
Is it B? I can't tell.
None of A, B, C and D.
all of the above
I can't decide.
答案是A和C。
答案：A、B、D
答案：ABD
故选A、C。
维生素C
正解はAとCです。
答案不是B。
La réponse est A et C.
Antwort: A und C
""",
    ),
    (
        "AB",
        "A",
        r"""
Response A is better.
Assistant A
A is better than the other.
A is better.
A seems right.
A because it is shorter.
A, it is shorter.
I prefer A.
Answer: A
A
The answer is A.
The better one is A.
A) The first
""",
    ),
    (
        "1234",
        "3",
        r"""
3
(3)
The answer is (3).
Option 3
Answer: 3
答案是3。
３
""",
    ),
    (
        "ABCD",
        None,
        r"""
A, C and D
A,B
A+B
A, as well as C
A along with C
A/B/D
A|B
A⏎and⏎C
Answers: A, B
The correct answers are A and D.
The answers are B, C.
The answer is A, possibly B.
The answer is A or maybe B.
Answer: A, perhaps C
Answer: **A**, **B**
Answer: (A)(B)
Answer: (A),(B)
Answer: A & B & D
<answer>A and B</answer>
\boxed{A,B}
\boxed{AB}
Answer: "A" and "C"
Answer: A, B, C, and D
Answer: A and B only
Answer: both A and B
Answer: A,B
Answer: A, B⏎⏎Because both are true.
Answer:⏎(A)⏎(B)
Answer:⏎- A⏎- B
The answer is A. Rome and B. Paris.
A Gram stain is used.
A Punnett square
A Fourier transform does it.
A German car
A 5-year plan
A few of them.
A lot
The answer is a Southern blot.
The answer is A Southern blot.
Answer: A Southern blot
Use A Southern blot.
220 V and 5 A
It draws 5 A of current.
100 C is the boiling point.
about 20° C
The answer is 100 °C
1.5 A
Answer: 5 A
Answer: 37 C
10 C of charge
3 D printing
Vitamin B is in meat.
Take vitamin D.
The answer is vitamin B.
Hepatitis A
Influenza B
Factor D
Protein C
Caspase D
Immunoglobulin A
Type B
Team B
Class D fire
Title C
Point A
at point B
Train A leaves at noon.
Person B is taller
Mr. C
Washington D.C.
Washington, D.C.
the A train
C minor
in D major
B-flat
A sharp
C clef
D flat major
programming in C
written in C.
C code
C string
C compiler
The language is C++.
Objective-C
CD
A/C
AC/DC
Q&A
B2B
A4
Room B
Gate C
Line A
Grade B
a grade of B
a B grade
got a C in maths
Cup B
size D
cell B
column C
Appendix B
Malcolm D
Spice Girl Mel B
Cardi B
The answer is Cardi B.
The answer is Exhibit A.
The answer is hepatitis B.
The answer is Schedule D.
The answer is blood type A.
The answer is B cells.
The answer is D minor.
The answer is C sharp.
The answer is C#.
The answer is A+.
答案是维生素C。
答案是A或B。
答案是A和B。
正解はAかBです。
答案：A，B，D
答案：AD
答案是B型肝炎。
答案是A型血。
答案是C语言。
答えはB型です。
答案不是D
答案是5A
不选D
""",
    ),
    (
        "ABCD",
        "B",
        r"""
The answer is B
The correct answer is: **B) 42**
The correct answer is **(B)**: it is best.
Correct answer: B
Option B is correct.
Option B: Paris
(B) Paris
[[B]]
I'd choose option B.
B is correct because it is the capital.
It's B.
I believe it's (B).
My answer: B
Final Answer: **B**
**Final Answer**⏎⏎B
The best option is B.
The best choice would be B.
This corresponds to option B.
This corresponds to B.
This matches choice B.
Thus (B).
→ B
=> B
B⏎⏎A Southern blot detects DNA.
B. A Southern blot
B) Vitamin C
Answer: B) Vitamin C
The answer is B. Vitamin C is not a protein.
Answer: B. 5 A
The answer is B (25 C).
The answer is B: hepatitis A.
B - 37 °C
The answer is (B) Vitamin C.
The answer is B) 25 °C.
The answer is B because A and C are wrong.
The answer is B as A is out.
I think the answer is B, but I'm not sure.
The answer is B, though C is close.
The answer is B, rather than C.
The answer is B, I think.
The answer is B
""",
    ),
    (
        "ABCD",
        "A",
        r"""
The answer is A
The answer is a.
A. Rome
A) A Southern blot
Answer: A) A Southern blot
The answer is A: a Southern blot.
A is the answer.
Option A.
(A) A Southern blot
I choose A because it fits.
The answer is A, a Southern blot.
""",
    ),
    (
        "ABCD",
        "D",
        r"""
答案：D
正确答案是：D。
答案是（D）。
答案选D
应选D。
我选择D，因为…
选D
【答案】D
答案：【D】
**答案：D**
答案：**D**
答案是“D”。
答案是D：维生素C。
答案是D. 维生素C
正解はDです。
正解は「D」です。
答え：（Ｄ）
正解：D）パリ
解答：D
したがって、正解はDである。
最も適切な答えはDです。
答えはDの選択肢です。
""",
    ),
    (
        "ABCD",
        "B",
        r"""
The answer is B rather than C.
选项B是正确的。
B が正解です。
""",
    ),
    (
        "ABCD",
        "C",
        r"""
故本题选C。
本题选C。
正确的选项是C。
正确的是C。
答案是选项C。
正解は選択肢Cです。
選択肢Cが正解です。
La réponse est donc C.
""",
    ),
    (
        "ABCD",
        None,
        r"""
\boxed{A^c}
A US citizen may vote.
A PCR amplifies DNA.
A T cell kills.
A CT scan is needed.
A+ grade
A- grade
A*
A* search
A^2
A'
a) b) c) d)
Answer: C? or D?
Answer: C as well as D
The answer is C as well as D.
1. A⏎2. C
""",
    ),
    (
        "ABCD",
        None,
        r"""
The answer is B. Wait, actually it's C.
Answer: B⏎⏎Correction: C
B — no wait
Some would say the answer is B, but that's wrong.
Is the answer B?
~~B~~
A. 3 B. 4 C. 5 D. 6
Formula: A = πr²
x = A
答案是B。等等，应该是C。
如果答案是B，则A错。
""",
    ),
    (
        "ABCD",
        "B",
        r"""
Answer (A-D): B
~~C~~ B
Answer: B = 12
A resposta correta é a letra B.
I don't know much about it, but the answer is B.
The answer is B because that is wrong for A.
Maybe C. Wait, the capital moved.⏎⏎B
""",
    ),
    (
        "ABCD",
        "B",
        r"""
A is wrong because it confuses mass with weight. C describes energy. The correct option is B.
Option B is the correct answer. Option A ignores friction, and C does not conserve energy.
B is correct because A and C are not prime.
**B) The mitochondria**⏎⏎They make ATP. The nucleus (A) stores DNA, the ribosome (C) makes proteins.
Option A ist falsch. Option B ist richtig.
L'opzione B è corretta, mentre A e C sono errate.
Вариант A неверен. Правильный вариант — B.
Réponse B : le Nil. Les autres fleuves (A, C, D) ne sont pas en Afrique.
したがって、Bが正解です。Aは誤りです。
正しい選択肢はBです。
The answer is B. A, C, and D are wrong.
정답: B⏎⏎A, C, D는 모두 틀렸습니다.
After eliminating A, C and D, we are left with B.
A, C and D don't. So B.
The most likely answer is B.
""",
    ),
    (
        "ABCD",
        None,
        r"""
A is correct for adults, but C is correct for children.
B is correct. D is also correct.
If friction is ignored, the answer is A; otherwise, the answer is B.
If the question refers to 1990, then B.
The student's answer is B.
Many people would choose B.
正解はBです。すみません、Cです。
So it is B ✗.
""",
    ),
]

LABELS: list[tuple[tuple[str, ...], str | None, str]] = [
    (
        ("yes", "no"),
        "no",
        r"""
No, it is not prime.
No. It is not prime.
No: it is not prime.
No - it is not prime.
No — it isn't prime.
No; 91 is not prime.
No! It is not.
No, it isn't.
No, that is wrong.
No (it is not prime).
**No**, it is not prime.
**No.** It is not prime.
"No", because 91 is not prime.
No, because it is not prime.
No because it can't be divided.
No it is not prime.
No, 91 = 7 * 13, so it is not prime.
No, 5 is not even.
No⏎⏎It is not prime.
No.⏎It isn't prime, as 7 divides it.
Well, no, it is not.
Unfortunately, no; it never was.
In short, no: 91 is not prime.
Not really, no.
The answer is no, it is not prime.
The answer is no, since it isn't prime.
The answer is "no".
Answer: No. It is not prime.
Answer: no
<answer>No, it is not prime.</answer>
\boxed{\text{No}}
It is not prime, so no.
It is divisible by 7. Therefore, no.
I would say no.
I would say no to that.
That is a no.
So no.
My verdict: no.
No. There is no such number.
No, there is no doubt that it is composite.
NO
no.
<think>Yes?</think>No, it is not.
答案是no。
""",
    ),
    (
        ("yes", "no"),
        "yes",
        r"""
Yes, it is prime.
Yes, it is not divisible by anything.
Yes. It has no divisors.
Yes: there are no divisors.
Yes, there is no remainder.
Yes, because it is not divisible by 2.
Yes - it isn't divisible by 2 or 3.
Yes, no doubt.
No doubt it is yes.
No problem: yes
Without a doubt, yes.
The answer is yes, since it has no divisors.
The answer is yes. There is no doubt about it.
Not a hard one: the answer is yes.
It has no divisors, hence yes.
""",
    ),
    (
        ("yes", "no"),
        None,
        r"""
No doubt.
No problem.
No. 5
No. 5 is the one.
no one
No one knows.
There is no contradiction.
It has no divisors.
No way to tell.
no idea
No more, no less than that.
It is in no way clear.
By no means.
yes and no
yes or no
Yes? No.
Is it a yes?
Is it no?
Yes, it is not.
I can't say yes.
Not yes.
It's not a yes.
No, I can't tell.
No, wait, it is.
No, actually it is prime.
Maybe.
There is no yes here.
""",
    ),
    (
        ("entailment", "contradiction", "neutral"),
        None,
        r"""
There is no contradiction.
There is no clear contradiction.
There isn't any contradiction.
There is no sign of contradiction here.
no contradiction
No contradiction.
without contradiction
It is free of contradiction.
I see no evidence of contradiction.
far from neutral
It is far from neutral.
This is anything but neutral.
It is hardly neutral.
It lacks entailment.
absence of contradiction
contradiction-free
non-neutral
Contradiction: none
Contradiction: no
Contradiction: none found.
contradiction = false
Contradiction (none)
Contradiction can be ruled out.
We can rule out contradiction.
Contradiction is excluded.
contradiction? No.
Is it a contradiction? I don't think so.
This fails to be an entailment.
rather than neutral
I doubt it is an entailment.
It is neither entailment nor contradiction.
The answer is not neutral.
The answer is: there is no contradiction.
Neutral, it is not.
Neutral. Not!
It is not an entailment.
It cannot be an entailment.
Entailment or neutral.
Zero contradiction.
""",
    ),
    (
        ("entailment", "contradiction", "neutral"),
        "neutral",
        r"""
neutral
Neutral.
Neutral, because the text does not say.
Neutral. The premise does not mention the price.
Neutral (the premise doesn't say).
It is neutral.
The relation is neutral, since nothing is said about it.
The answer is neutral, as there is no evidence.
There is no evidence either way, so neutral.
The premise does not say, hence neutral.
There is no strong claim; it is neutral.
Answer: neutral⏎There is no contradiction.
Label: neutral
**Neutral**
""",
    ),
    (
        ("positive", "negative"),
        None,
        r"""
not positive
It isn't positive.
non-positive
a false positive
It is far from positive.
There is nothing positive about it.
hardly positive
no positive words
positive or negative
Positive: no
less of the former
I doubt that it is positive.
The tone is not negative.
""",
    ),
    (
        ("spam", "ham"),
        None,
        r"""
isn't spam
This isn't spam.
This is no spam.
It's not spam.
It is anything but spam.
spam-free
non-spam
Spam: false
Spam? Hardly.
""",
    ),
    (
        ("spam", "ham"),
        "spam",
        r"""
This is spam.
It's not only spam.
No doubt it's spam.
Spam, without a doubt.
Spam. Nobody would send this.
spam
答案：spam。
""",
    ),
    (
        ("spam", "not spam"),
        "not spam",
        r"""
Not spam.
This is not spam.
not-spam
Not spam, because there is no link.
The answer is not spam.
""",
    ),
    (
        ("true", "false"),
        "false",
        r"""
False.
False, it is not true.
False: the sun doesn't rise in the west.
False, because that is wrong.
The answer is false.
""",
    ),
    (
        ("true", "false"),
        "true",
        r"""
True.
True, it never snows there.
True. It doesn't snow there.
The answer is true.
""",
    ),
    (
        ("true", "false"),
        None,
        r"""
It is not true.
That isn't true.
true or false
True, it is not.
""",
    ),
    (
        ("sí", "no"),
        "no",
        r"""
No, no es primo.
No.
La respuesta es no.
""",
    ),
    (
        ("oui", "non"),
        "non",
        r"""
Non, ce n'est pas premier.
Non.
La réponse est non.
""",
    ),
    (
        ("ja", "nein"),
        "nein",
        r"""
Nein, das ist keine Primzahl.
Nein.
Die Antwort ist nein.
Antwort: Nein
""",
    ),
    (
        ("yes", "no"),
        "no",
        r"""
No, it can't be.
No, 51 isn't prime since it's 3 × 17.
No, they're not.
No, never.
No, not at all.
No, Paris is not in Germany. It's in France.
No, the two sentences don't mean the same thing.
No⏎⏎Reason: it does not follow.
no, because it doesn't follow
Answer: No, it is not.
The answer is: No. It isn't prime.
**No** - the number isn't prime.
*No.* It is not.
> No, it isn't.
- No, it isn't
Hmm, no, it isn't.
The short answer is no. It isn't.
No, nobody does.
No, there are no such cases.
No, without doubt.
It's a no from me.
No, I don't think so.
No, I do not think it is.
It isn't, hence no.
答案是no。
""",
    ),
    (
        ("yes", "no"),
        None,
        r"""
No problem at all.
There is no way to know.
No doubt about that.
It makes no difference.
No sooner said than done.
He has no idea
I have no opinion.
No comment.
no. 7
See No. 7.
No other number divides it.
No matter what, it holds.
No wonder.
Nobody knows.
no-one
A no-brainer.
No-brainer!
In no time.
No longer.
yes/no
It is a yes or no answer.
Answer yes or no.
No, I am not sure.
No, it is hard to say.
""",
    ),
    (
        ("yes", "no"),
        "yes",
        r"""
Yes, it isn't divisible by any other number.
Yes, no other number divides it.
Yes. No other number divides it.
Yes, there's no way around it.
Yes, never mind the details.
""",
    ),
    (
        ("true", "false"),
        "false",
        r"""
False. The Sun does not orbit the Earth.
False, the Sun doesn't orbit the Earth.
False - it isn't.
""",
    ),
    (
        ("true", "false"),
        "true",
        r"""
True, since it does not rain there.
""",
    ),
    (
        ("true", "false"),
        None,
        r"""
That's not true.
It's not entirely false.
A false alarm? True.
Not false.
""",
    ),
    (
        ("entailment", "contradiction", "neutral"),
        None,
        r"""
The premise does not lead to a contradiction.
There is no entailment here.
There's hardly any contradiction.
No entailment.
It would be a mistake to call it neutral.
The two don't stand in contradiction.
Nothing suggests contradiction.
Without any contradiction.
I can rule out contradiction.
contradiction: absent
It isn't contradiction
It falls short of entailment.
It is less than neutral.
There was never a contradiction.
The opposite of entailment.
not quite neutral
Contradiction? I think not.
""",
    ),
    (
        ("entailment", "contradiction", "neutral"),
        "neutral",
        r"""
Neutral; the premise doesn't mention it.
""",
    ),
    (
        ("entailment", "contradiction", "neutral"),
        "contradiction",
        r"""
It is a contradiction.
Contradiction, since both can't be true.
Contradiction. They cannot both be true.
contradiction
""",
    ),
    (
        ("positive", "negative", "neutral"),
        None,
        r"""
not at all positive
The review is far from positive.
Nothing about this is positive.
It's not exactly negative
I wouldn't call it positive.
The review lacks any positive remark.
There are no negative remarks.
anything but positive
The sentiment is less than positive.
un-positive
no positive
""",
    ),
    (
        ("positive", "negative", "neutral"),
        "neutral",
        r"""
Neutral. It is neither positive nor negative.
""",
    ),
    (
        ("positive", "negative", "neutral"),
        "positive",
        r"""
Positive, not negative.
The sentiment is positive.
I'd say positive
""",
    ),
    (
        ("positive", "negative", "neutral"),
        "negative",
        r"""
Negative. The reviewer does not recommend it.
Negative, because he didn't like it.
""",
    ),
    (
        ("spam", "ham"),
        None,
        r"""
No, it's no spam.
definitely not spam
This ain't spam.
spam is ruled out
can't be spam
hardly spam
Not spam.
""",
    ),
    (
        ("spam", "not spam"),
        "not spam",
        r"""
It's not spam.
""",
    ),
    (
        ("correct", "incorrect"),
        "incorrect",
        r"""
Incorrect, it does not follow.
Incorrect.
The answer is incorrect.
""",
    ),
    (
        ("correct", "incorrect"),
        "correct",
        r"""
Correct. It doesn't matter.
""",
    ),
    (
        ("correct", "incorrect"),
        None,
        r"""
not correct
""",
    ),
    (
        ("supported", "refuted", "not enough info"),
        "not enough info",
        r"""
Not enough info.
""",
    ),
    (
        ("supported", "refuted", "not enough info"),
        "refuted",
        r"""
Refuted, the claim isn't true.
""",
    ),
    (
        ("supported", "refuted", "not enough info"),
        None,
        r"""
not supported
The claim is not refuted.
""",
    ),
    (
        ("safe", "unsafe"),
        "unsafe",
        r"""
Unsafe.
""",
    ),
    (
        ("safe", "unsafe"),
        None,
        r"""
not safe
It isn't unsafe.
""",
    ),
    (
        ("safe", "unsafe"),
        "safe",
        r"""
safe⏎
""",
    ),
    (
        ("toxic", "non-toxic"),
        "non-toxic",
        r"""
non-toxic
It is non toxic.
""",
    ),
    (
        ("toxic", "non-toxic"),
        "toxic",
        r"""
toxic
""",
    ),
    (
        ("toxic", "non-toxic"),
        None,
        r"""
not toxic
""",
    ),
    (
        ("bug", "feature", "question"),
        "bug",
        r"""
This is a bug.
no doubt a bug
""",
    ),
    (
        ("bug", "feature", "question"),
        None,
        r"""
It's not a bug.
""",
    ),
    (("bug", "feature", "question"), "feature", "not a bug but a feature"),
    (
        ("yes", "no", "maybe"),
        "no",
        r"""
No, it's not.
""",
    ),
    (
        ("是", "否"),
        "否",
        r"""
答案：否
""",
    ),
    (
        ("はい", "いいえ"),
        "いいえ",
        r"""
答えはいいえです。
""",
    ),
    (
        ("积极", "消极"),
        "积极",
        r"""
答案是积极。
答案：积极
""",
    ),
    (
        ("正", "負"),
        "正",
        r"""
正解は「正」です。
""",
    ),
    (
        ("positive", "negative", "neutral"),
        "positive",
        r"""
Sentiment: Positive (0.93)
""",
    ),
    (
        ("positive", "negative", "neutral"),
        None,
        r"""
I hesitate to say positive.
If the customer were happy it would be positive.
""",
    ),
    (
        ("True", "False"),
        None,
        r"""
If true, then so.
""",
    ),
    # Labels that are taken back, spoken of, part of a word, or a bound; "no" of other languages.
    (
        ("yes", "no"),
        "no",
        "No. That's wrong.\nAnswer (yes or no): no\n~~yes~~ no\nThe answer is no. Wait times are longer.",
    ),
    (
        ("yes", "no"),
        None,
        "The answer is yes. Wait, no.\nI don't think the answer is yes.\nIf the answer is yes, go on."
        "\n~~yes~~\nAlmost yes.",
    ),
    (
        ("low", "medium", "high"),
        None,
        "at least medium\nhigher than low\nbelow high\nsemi-high\nHardly, rarely high.\nabove medium",
    ),
    (
        ("low", "medium", "high"),
        "high",
        "The answer is high, more than expected.\nHigh: more than 5 failures.",
    ),
    (("sim", "não"), None, "A resposta não é sim.\nNão sei."),
    (("нет", "да"), None, "Нет данных.\nЗдесь нет ошибки."),
    (("нет", "да"), "нет", "Нет, оно делится на 7.\nОтвет: нет"),
    (("はい", "いいえ"), "いいえ", "いいえ、素数ではありません。\n正解：いいえ"),
    (("はい", "いいえ"), None, "はい、いいえのどちらとも言えません。"),
    (("是", "否"), "否", "否，91 = 7 × 13。\n答案是：否"),
    (("positivo", "negativo"), None, "nada positivo\nmenos positivo\nnunca positivo"),
    (
        ("positive", "negative", "neutral"),
        "negative",
        r"""
Overall, the sentiment is negative. The customer is not happy with the battery.
Sentiment: negative⏎⏎The reviewer has a positive word for the screen.
The review is negative, not positive: the reviewer "would not recommend" it.
The phrases "not worth it" and "never again" indicate a negative sentiment.
Although it has positive aspects, the overall sentiment is negative.
It is not positive. It is neither neutral nor positive, so it is negative.
It is negative since we don't know of anything good.
""",
    ),
    (
        ("positive", "negative", "neutral"),
        None,
        r"""
Screen: positive⏎⏎Battery: negative
It seems positive. But it is not.
If the shipping had been faster, the review would be positive.
It is not positive or neutral.
Is the review positive overall? I would not say so.
Positive would require that he liked it.
A negative review would mention flaws.
It may be positive or negative.
""",
    ),
    (
        ("yes", "no"),
        None,
        r"""
If the number were odd, the answer would be yes.
If so, yes.
A yes would require more evidence.
Your booking:⏎- **Bags:** 0⏎- **Insurance:** Yes⏎⏎Basic flights cannot be modified. What shall I change?
""",
    ),
    (("yes", "no"), "yes", "Yes, although it is not stated explicitly, the passage implies it."),
    (("yes", "no"), "no", "So no, it isn't possible."),
    (("oui", "non"), None, "Si l'on compte zéro, la réponse serait oui."),
    (("ja", "nein"), None, "Wenn man Null mitzählt, wäre die Antwort ja."),
    (("sim", "não"), "não", "Não. 9 não é primo."),
    (("да", "нет"), "да", "Да. Исключений нет."),
    (("是", "否"), "是", "是的，17是质数。\n答案是：是。没有例外。"),
    (("是", "否"), "否", "否。17不是偶数。"),
    (("true", "false"), "true", "The statement is true because not all birds can fly."),
    (("true", "false"), "false", "That statement is false, not true."),
]


# Several answers, bounds, conditions, denials: no single answer, however it is declared.
DECLARATIONS = [
    "{}",
    "The answer is {}.",
    "Answer: {}",
    "\\boxed{{{}}}",
    "<answer>{}</answer>",
    "So it is {}.",
]
NO_NUMBER = r"""
$3 as well as $8
$3 but could be $8
$3, ..., $8
$3, \ $8
$3,\;$8
$3; $8
$3; or $8
-$7
-US$7
-\$7
-~7
3 and π
3 as well as -8
3 as well as 8
3 but could be -8
3 but could be 8
3 if x else -8
3 if x else 8
3 km as well as 8 km
3 km but could be 8 km
3 km if x else 8 km
3 km, ..., 8 km
3 km, \ 8 km
3 km,\;8 km
3 km; 8 km
3 km; or 8 km
3 or so on
3 through a few more
3 through half
3 through π
3 times a few more
3 times a half
3 times four
3 times half
3 times π
3 to π
3% as well as 8%
3% but could be 8%
3% if x else 8%
3%, ..., 8%
3%, \ 8%
3%,\;8%
3%; 8%
3%; or 8%
3, ..., -8
3, ..., 8
3, \ -8
3, \ 8
3, or so on
3,\;-8
3,\;8
3; -8
3; 8
3; or -8
3; or 8
42 (?)
42 (base 7)
42 (mod 7)
42 eller mer
42 for every 100
42 for x = 1, 43 for x = 2
42 hex
42 if x > 0, else 43
42 in binary
42 lub więcej
42 of meer
42 or so on
42 per x
42 или больше
42?
42??
42_x
42ème
42左右或更多
Day 42
Fig. 42
No. 42
Week 42
ab 42
all but 42
anything but 42
as little as 42
as many as 42
as much as 42
bounded above by 42
bounded by 42
co najmniej 42
day 42
en az 42
en fazla 42
every number from 42
except 42
except for 42
far from 42
hasta 42
högst 42
hơn 42
inférieur à 42
instead of 42
inte 42
just shy of 42
max. 42
mer än 42
min. 42
mindre än 42
minst 42
minus the 7
negative of 7
nie 42
no 42
no longer 42
no. 42
nowhere near 42
p. 42
phase 42
pp. 42
rather than 42
room 42
shy of 42
stage 42
supérieur à 42
the negative of 7
the sum of x and 42
thrice 42
tot 42
type 42
v. 42
ver. 42
week 42
without 42
więcej niż 42
{-}7
ít nhất 42
более 42
больше 42
до 42
меньше 42
не 42
не более 42
не менее 42
от 42
–$7
₋7
−$7
少なくとも42
最大42
最小42
非42
적어도 42
최대 42
최소 42
"""
NO_CHOICE = r"""
(A) as well as (C)
(A) but also (C)
(A) if not (C)
(A), but also (C)
(A), if not (C)
(A). Also (C)
(A). Or (C)
(A). Or maybe (C)
(A); (C)
(A); also (C)
(A)? No, maybe (C)
**B** as well as **D**
**B** but also **D**
**B** if not **D**
**B**, but also **D**
**B**, if not **D**
**B**. Also **D**
**B**. Or **D**
**B**. Or maybe **D**
**B**... or **D**
**B**; **D**
**B**; also **D**
**B**; or **D**
**B**? No, maybe **D**
**B**? or **D**
A & C
A (or C)
A + C
A / C
A > C
A US law
A \text{ and } C
A \text{ or } C
A along with C
A and C
A and/or C
A as well as C
A but also C
A equally C
A if not C
A o C
A or C
A or even C
A or maybe C
A or possibly C
A then C
A then maybe C
A to C
A together with C
A | C
A → C
A) Rome and also C) Oslo
A) Rome but also C) Oslo
A) Rome eller C) Oslo
A) Rome followed by C) Oslo
A) Rome if not C) Oslo
A) Rome och C) Oslo
A) Rome or else C) Oslo
A) Rome through C) Oslo
A) Rome versus C) Oslo
A) Rome và C) Oslo
A) Rome или C) Oslo
A) Rome, but also C) Oslo
A) Rome. Or maybe C) Oslo
A) Rome; or C) Oslo
A) Rome、C) Oslo
A) RomeまたはC) Oslo
A) Rome及C) Oslo
A) Rome과 C) Oslo
A, C
A, but also C
A, if not C
A. Also C
A. Or C
A. Or maybe C
A... or C
A; C
A; also C
A; or C
A? No, maybe C
A? or C
A、C
A，C
B (incorrect)
B (wrong)
B as well as D
B but also D
B es incorrecta
B est faux
B if not D
B is onjuist
B is out
B ist falsch
B è sbagliata
B ✗
B ❌
B, D
B, but also D
B, if not D
B. Also D
B. Or D
B. Or maybe D
B. Rome & D. Oslo
B. Rome \text{ and } D. Oslo
B. Rome and also D. Oslo
B. Rome but also D. Oslo
B. Rome eller D. Oslo
B. Rome i D. Oslo
B. Rome och D. Oslo
B. Rome or even D. Oslo
B. Rome ou D. Oslo
B. Rome then maybe D. Oslo
B. Rome und D. Oslo
B. Rome và D. Oslo
B. Rome и D. Oslo
B. Rome, D. Oslo
B. Rome, perhaps D. Oslo
B. Rome/D. Oslo
B. Rome; or D. Oslo
B. Rome\text{ and }D. Oslo
B. Rome，D. Oslo
B... or D
B; D
B; also D
B; or D
B? No, maybe D
B? or D
B、D
B，D
Dr. A
Mr. B
a as well as c
a but also c
a if not c
a, and c
a, but also c
a, c
a, if not c
a, maybe c
a, or c
a, perhaps c
a, possibly c
a, then c
a,\ c
a. Also c
a. Or c
a. Or maybe c
a... or c
a; also c
a; c
a; or c
a? No, maybe c
a? or c
a、c
a，c
não é B
option A & option C
option A / option C
option A \text{ or } option C
option A and option C
option A atau option C
option A e option C
option A equally option C
option A hoặc option C
option A lub option C
option A oder option C
option A or even option C
option A or possibly option C
option A then maybe option C
option A to option C
option A ve option C
option A vs option C
option A | option C
option A → option C
option A, if not option C
option A. Or maybe option C
option A; also option C
option A? No, maybe option C
option A，option C
ruled out: B
"""
NO_LABEL = r"""
barely positive
if it were positive
it is hard to call it positive
it's difficult to say it's positive
neutral - positive
neutral but also positive
neutral, positive
neutral... positive
neutral; positive
neutral? positive
neutral、positive
não é positive
pas positive
positive (no)
positive - negative
positive but also negative
positive might be too strong
positive would be an overstatement
positive, negative
positive... negative
positive; negative
positive? Hardly
positive? No.
positive? Not at all
positive? negative
positive? no
positive、negative
не positive
"""
NEITHER_YES_NOR_NO = r"""
no, yes
no?
partly yes, partly no
perhaps no?
sometimes yes, sometimes no
yes - no
yes - no - maybe
yes but also no
yes in part, no in part
yes, no
yes... no
yes; no
yes?
yes? no
yes? no?
yes、no
"""


def declared(lines: str) -> str:
    return "\n".join(form.format(line) for line in lines.strip("\n").split("\n") for form in DECLARATIONS)


def test_what_is_no_single_answer_is_none_however_it_is_declared() -> None:
    for read, lines in (
        (answers.choice("ABCD"), NO_CHOICE),
        (answers.label("positive", "negative", "neutral"), NO_LABEL),
        (answers.label("yes", "no"), NEITHER_YES_NOR_NO),
    ):
        assert "\n".join(wrong(read, [(None, declared(lines))])) == ""


def test_a_sign_is_not_lost_and_a_bound_no_number_however_they_are_declared() -> None:
    found = {text: answers.number(text) for text in declared(NO_NUMBER).split("\n")}
    assert {text: number for text, number in found.items() if number not in (None, -7)} == {}


def test_numbers() -> None:
    assert "\n".join(wrong(answers.number, NUMBERS)) == ""


def test_european_numbers() -> None:
    assert "\n".join(wrong(answers.european_number, EUROPEAN)) == ""


def test_choices() -> None:
    for letters, wanted, lines in CHOICES:
        assert "\n".join(wrong(answers.choice(letters), [(wanted, lines)])) == ""


def test_labels() -> None:
    for labels, wanted, lines in LABELS:
        assert "\n".join(wrong(answers.label(*labels), [(wanted, lines)])) == ""

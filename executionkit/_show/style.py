"""The style sheet of the page."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark;
  --back: #fff; --text: #1c2530; --soft: #5b6673; --line: #dfe4ea; --card: #f5f7f9;
  --run: #0b7a75; --call: #3a6fb0; --tool: #8a5cb8; --bad: #b3261e; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root {
  --back: #14181d; --text: #e3e8ed; --soft: #98a4b0; --line: #2c343d; --card: #1c2229;
  --run: #4cc2bb; --call: #7fb0ee; --tool: #c39bea; --bad: #ff8a80; --warn: #e6b455; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 22px; margin: 0 0 2px; overflow-wrap: anywhere; }
p { margin: 0; }
.soft { color: var(--soft); }
dl { display: flex; flex-wrap: wrap; gap: 10px; margin: 18px 0 20px; }
dl div { background: var(--card); border-radius: 8px; padding: 8px 16px; min-width: 104px; }
dt { color: var(--soft); font-size: 12px; }
dd { margin: 0; font-size: 19px; font-variant-numeric: tabular-nums; }
.row { display: grid; align-items: center; gap: 0 10px; padding: 4px 8px;
  border-bottom: 1px solid var(--line);
  grid-template-columns: minmax(0, 1fr) 220px 76px 52px 76px 66px 84px; list-style: none; }
.free .row { grid-template-columns: minmax(0, 1fr) 220px 76px 52px 76px 66px; }
.free .row > :nth-child(7) { display: none; }
.head { color: var(--soft); font-size: 12px; }
.head span:nth-child(n+3), .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
summary { cursor: pointer; }
summary::-webkit-details-marker { display: none; }
summary:hover { background: var(--card); }
summary:focus-visible { outline: 2px solid var(--call); outline-offset: -2px; }
.name { overflow-wrap: anywhere; padding-left: calc(18px + var(--in) * 18px); position: relative; }
summary > .name::before { content: "\\25B8"; position: absolute; left: calc(var(--in) * 18px + 2px);
  color: var(--soft); }
details[open] > summary > .name::before { content: "\\25BE"; }
.name b { font-weight: 600; color: var(--kind); }
.run { --kind: var(--run); } .call { --kind: var(--call); } .tool { --kind: var(--tool); }
.tag { display: inline-block; margin-left: 6px; padding: 0 7px; border-radius: 9px; font-size: 12px;
  border: 1px solid currentColor; }
.bad { color: var(--bad); } .warn { color: var(--warn); }
.bar { height: 12px; position: relative; background: var(--card); border-radius: 3px; overflow: hidden; }
.bar i { position: absolute; inset: 2px auto 2px 0; min-width: 2px; background: var(--kind);
  border-radius: 2px; }
.bar .open { opacity: .45; }
.more { padding: 6px 8px 8px calc(26px + var(--in) * 18px); border-bottom: 1px solid var(--line);
  font-size: 13px; overflow-wrap: anywhere; }
.more p + p { margin-top: 2px; }
.more details { margin-top: 6px; }
.more summary { color: var(--call); }
.said { margin: 6px 0 0; border-left: 3px solid var(--line); padding-left: 10px; }
.said span { color: var(--soft); font-size: 12px; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext;
  font: 12.5px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
footer { margin-top: 22px; color: var(--soft); font-size: 12px; }
.note { margin: 0 0 12px; color: var(--warn); }
a { color: var(--call); }
@media (max-width: 760px) {
  main { padding: 16px 10px 32px; }
  dl div { padding: 6px 12px; min-width: 88px; }
  .row.head { display: none; }
  .row { display: flex; flex-wrap: wrap; padding: 6px 4px; }
  .name { flex-basis: 100%; padding-left: calc(16px + var(--in) * 10px); }
  summary > .name::before { left: calc(var(--in) * 10px + 1px); }
  .bar { flex-basis: 100%; margin: 4px 0 4px calc(16px + var(--in) * 10px); height: 8px; }
  .n { font-size: 12px; color: var(--soft); }
  .n:not(:nth-child(3)):empty { display: none; }
  .n::after { content: " " attr(data-of); }
  .name ~ .n:nth-child(3) { margin-left: calc(16px + var(--in) * 10px); }
  .more { padding-left: calc(16px + var(--in) * 10px); }
}
@media print { .bar i { print-color-adjust: exact; } }
"""

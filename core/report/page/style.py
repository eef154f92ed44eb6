"""How a report looks: light or dark as the reader's system is, and on paper."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b1f27; --muted: #667085; --line: #e3e7ee; --axis: #c3cad6; --soft: #eef1f6;
  --accent: #2563c9; --accent-soft: #cfe0fb; --good: #16794a; --good-soft: #d7f2e3; --bad: #b42318; --bad-soft: #fde3e0;
  --warn: #8a5a00; --warn-soft: #fff3d6; --second: #b5540a; }
@media (prefers-color-scheme: dark) { :root {
  --page: #0f1218; --card: #171b23; --ink: #e5e9f0; --muted: #97a1b3; --line: #2a303c; --axis: #465062; --soft: #1f2530;
  --accent: #7fb0ff; --accent-soft: #23406e; --good: #6fd6a0; --good-soft: #153a29; --bad: #ff938a; --bad-soft: #47211f;
  --warn: #f0c36a; --warn-soft: #3a2f16; --second: #f2a765; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.55; font-size: 15px;
  overflow-wrap: anywhere;
  font-family: system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "PingFang SC",
    "Microsoft YaHei", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 0 0 12px; }
h3 { font-size: 15px; margin: 0 0 8px; }
p { margin: 0 0 10px; } p.muted { font-size: 14px; }
.muted, .facts, figcaption { color: var(--muted); }
.facts { margin: 0; font-size: 14px; }
.facts span + span::before { content: " · "; }
section, .cards, .notes { margin-top: 28px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px; }
.cards { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px 18px; }
.card .name { color: var(--muted); font-size: 13px; }
.card .big { font-size: 30px; font-weight: 650; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card .big small { font-size: 16px; font-weight: 500; color: var(--muted); }
.card .under { color: var(--muted); font-size: 13px; font-variant-numeric: tabular-nums; min-height: 20px; }
.notes { border: 1px solid var(--warn); background: var(--warn-soft); border-radius: 12px; padding: 14px 20px; }
.notes h2 { color: var(--warn); font-size: 15px; margin-bottom: 6px; }
.notes ul, .plain { margin: 0; padding-left: 18px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
thead th { color: var(--muted); font-weight: 500; font-size: 13px; }
tbody th { font-weight: 550; }
tbody tr:last-child th, tbody tr:last-child td { border-bottom: 0; }
.numbers td, .numbers thead th:not(:first-child) { font-variant-numeric: tabular-nums; white-space: nowrap; }
.help { display: block; font-weight: 400; color: var(--muted); font-size: 12.5px; max-width: 46ch;
  white-space: normal; }
.pairs th { width: 34%; font-weight: 500; color: var(--muted); }
.matrix td { text-align: center; min-width: 44px; padding: 6px; font-variant-numeric: tabular-nums; }
.cell { border-radius: 4px; padding: 2px 8px; }
svg { display: block; max-width: 100%; height: auto; }
svg text { fill: var(--muted); font-size: 11px; font-family: inherit; }
.axis { stroke: var(--axis); } .range { stroke: var(--accent); stroke-width: 2; } .point { fill: var(--accent); }
.bar { fill: var(--accent); } .track { fill: var(--soft); } .bar.right { fill: var(--good); }
.bar.bad { fill: var(--bad); }
.curve { fill: none; stroke: var(--accent); stroke-width: 1.75; } .curve.second { stroke: var(--second); }
.curve.raw { opacity: .28; stroke-width: 1; } .dot { fill: var(--second); }
.charts { display: grid; gap: 20px; grid-template-columns: repeat(auto-fill, minmax(min(400px, 100%), 1fr)); }
figure { margin: 0; } figcaption { font-size: 13px; margin-bottom: 6px; }
.row { border-top: 1px solid var(--line); padding: 14px 0; }
.row:first-of-type { border-top: 0; padding-top: 4px; } .row:last-child { padding-bottom: 0; }
.row header { display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: baseline; font-size: 13px; }
.number { font-weight: 650; } .tag { border-radius: 99px; padding: 0 9px; background: var(--soft); font-size: 12.5px; }
.tag.right { background: var(--good-soft); color: var(--good); } .tag.wrong { background: var(--bad-soft);
  color: var(--bad); } .score { color: var(--muted); font-variant-numeric: tabular-nums; }
.asked { margin: 6px 0 8px; white-space: pre-wrap; }
.sides { display: grid; gap: 10px; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); }
.side { background: var(--soft); border-radius: 8px; padding: 8px 12px 10px; }
.side .name { color: var(--muted); font-size: 12px; }
.side div + div { white-space: pre-wrap; }
del { background: var(--bad-soft); color: inherit; text-decoration: underline wavy var(--bad) 1px;
  text-underline-offset: 4px; border-radius: 3px; }
ins { background: var(--warn-soft); color: inherit; text-decoration: underline var(--warn) 2px;
  text-underline-offset: 4px; border-radius: 3px; }
.none { color: var(--muted); font-style: italic; }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--muted); font-size: 13px; }
pre { background: var(--soft); border-radius: 8px; padding: 10px 12px; white-space: pre-wrap;
  font-size: 12.5px; max-height: 420px; overflow: auto; }
code { background: var(--soft); border-radius: 5px; padding: 2px 6px; font-size: 13px; }
section p { margin-top: 10px; }
footer { margin-top: 32px; color: var(--muted); font-size: 13px; }
@media (max-width: 680px) { main { padding: 24px 14px; } section { padding: 16px 14px; }
  .numbers svg, .numbers .help { display: none; } th, td { padding-right: 8px; } }
@media print { body { background: #fff; } main { max-width: none; padding: 0; }
  section, .card, .row { break-inside: avoid; } }
"""

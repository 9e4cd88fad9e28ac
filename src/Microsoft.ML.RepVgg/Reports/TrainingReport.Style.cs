namespace Microsoft.ML.RepVgg.Reports;

public sealed partial class TrainingReport
{
    /// <summary>The style sheet of the page. It contains no characters that XML would need encoded.</summary>
    private const string Style = """

        :root { --page: #f4f5f7; --surface: #ffffff; --text: #1f2328; --muted: #5b6570; --line: #dfe3e8; --right: #2563c9; --wrong: #d4620a; --training: #7a8694; --validation: #2563c9; --best: #2a8a57; --on-strong: #ffffff; }
        @media (prefers-color-scheme: dark) { :root { --page: #0f1318; --surface: #181d24; --text: #e3e7ec; --muted: #98a3b0; --line: #2e3641; --right: #4c8dff; --wrong: #f0883e; --training: #8d99a8; --validation: #5b9bff; --best: #56c48a; --on-strong: #0b0f14; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
        main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 48px; }
        header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 4px 20px; margin-bottom: 16px; }
        h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; }
        h2 { font-size: 18px; margin: 0 0 10px; }
        p { margin: 0 0 12px; }
        .muted { color: var(--muted); }
        section { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin-bottom: 18px; min-width: 0; }
        .columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 0 18px; }
        .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; margin-bottom: 18px; }
        .tile { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
        .tile b { display: block; font-size: 24px; line-height: 1.3; font-variant-numeric: tabular-nums; }
        .tile span { color: var(--muted); font-size: 13px; }
        figure { margin: 0; min-width: 0; }
        figcaption { overflow-wrap: anywhere; }
        .key { font-size: 13px; margin-left: 16px; color: var(--muted); white-space: nowrap; }
        .key::before { content: ""; display: inline-block; width: 16px; height: 3px; margin-right: 6px; vertical-align: middle; background: currentColor; }
        .key.training::before { background: var(--training); }
        .key.validation::before { background: var(--validation); }
        .key.best::before { height: 12px; width: 0; border-left: 2px dashed var(--best); background: none; }
        svg { display: block; max-width: 100%; height: auto; font-family: inherit; }
        svg text { fill: var(--text); }
        svg .tick { fill: var(--muted); font-size: 12px; }
        svg .label { font-size: 12px; }
        svg .value { font-variant-numeric: tabular-nums; }
        svg .value.strong { fill: var(--on-strong); }
        svg .grid { stroke: var(--line); fill: none; }
        svg .panel { fill: var(--page); }
        svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
        svg .line.training { stroke: var(--training); }
        svg .line.validation { stroke: var(--validation); }
        svg circle.training { fill: var(--training); }
        svg circle.validation { fill: var(--validation); }
        svg .best { stroke: var(--best); stroke-width: 1.5; stroke-dasharray: 4 4; }
        svg .right { fill: var(--right); }
        svg .wrong { fill: var(--wrong); }
        svg .accuracy { stroke: var(--right); stroke-width: 3; }
        svg .difference { fill: var(--wrong); fill-opacity: 0.45; }
        svg .count { fill: var(--training); }
        svg .diagonal { stroke: var(--text); stroke-dasharray: 5 4; fill: none; }
        .scroll { overflow: auto; max-height: 44rem; }
        .choice .scroll { max-height: none; }
        .choice input { position: absolute; opacity: 0; }
        .choice label { display: inline-block; border: 1px solid var(--line); padding: 4px 12px; margin: 0 8px 12px 0; border-radius: 999px; font-size: 13px; color: var(--muted); cursor: pointer; }
        .choice input:checked + label { color: var(--text); border-color: var(--right); box-shadow: inset 0 0 0 1px var(--right); }
        .choice input:focus-visible + label { outline: 2px solid var(--right); outline-offset: 2px; }
        .choice .matrix { margin: 0 auto; }
        #shares:not(:checked) ~ .matrix-shares, #counts:not(:checked) ~ .matrix-counts { display: none; }
        table { border-collapse: collapse; width: 100%; font-size: 14px; }
        th, td { text-align: left; padding: 5px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
        thead th { color: var(--muted); font-weight: 600; position: sticky; top: 0; background: var(--surface); z-index: 1; }
        tfoot td { font-weight: 600; }
        tbody tr:last-child td, tbody tr:last-child th { border-bottom: none; }
        tfoot td { border-top: 2px solid var(--line); border-bottom: none; }
        .number, .numbers td, .numbers th { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
        .name, .facts td { overflow-wrap: anywhere; }
        .facts th { font-weight: 400; color: var(--muted); width: 45%; }
        .bar { position: relative; min-width: 96px; }
        .bar i { position: absolute; left: 6px; top: 4px; height: 22px; max-width: calc(100% - 12px); border-radius: 3px; background: var(--right); opacity: 0.22; }
        .bar.wrong i { background: var(--wrong); }
        .bar span { position: relative; }
        details summary { cursor: pointer; color: var(--muted); margin: 8px 0; }
        .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: 12px; }
        .cards.wide { grid-template-columns: repeat(auto-fill, minmax(min(420px, 100%), 1fr)); }
        .card { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; font-size: 13px; line-height: 1.45; }
        .card figcaption { padding: 8px 10px; }
        .pictures { display: flex; background: var(--page); }
        .pictures img { flex: 1 1 0; min-width: 0; aspect-ratio: 1; object-fit: contain; }
        .path { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
        .samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); gap: 8px; }
        .samples img { width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--page); border-radius: 6px; }
        @media (max-width: 600px) { main { padding: 16px 10px 32px; } section { padding: 14px 12px; } th, td { padding: 5px 6px; } .bar { min-width: 64px; } }
        @media print { .scroll { max-height: none; overflow: visible; } .choice .matrix-shares, .choice .matrix-counts { display: block !important; } section { break-inside: avoid; } }

        """;
}

using System.Globalization;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg.Reports;

/// <summary>Draws the loss over the learning rate as an SVG image of its own. Values are also in <c>data-</c> attributes.</summary>
internal static class LearningRateChart
{
    private const int Width = 760, Height = 430, Left = 64, Right = 736, Top = 58, Bottom = 370;

    private const string Style = """

        text { fill: #1f2328; font: 13px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
        .surface { fill: #ffffff; }
        .title { font-weight: 600; font-size: 15px; }
        .tick { fill: #5b6570; font-size: 12px; }
        .grid { stroke: #dfe3e8; fill: none; }
        .loss { stroke: #b4bcc6; fill: none; stroke-linejoin: round; }
        .smoothed { stroke: #2563c9; fill: none; stroke-width: 2.5; stroke-linejoin: round; }
        .suggestion { stroke: #1d7a49; fill: none; stroke-width: 2; stroke-dasharray: 5 4; }
        .suggested { fill: #1d7a49; font-weight: 600; }
        @media (prefers-color-scheme: dark) {
        text { fill: #e3e7ec; }
        .surface { fill: #181d24; }
        .tick { fill: #98a3b0; }
        .grid { stroke: #2e3641; }
        .loss { stroke: #667180; }
        .smoothed { stroke: #5b9bff; }
        .suggestion { stroke: #56c48a; }
        .suggested { fill: #56c48a; }
        }

        """;

    /// <summary>Draws the losses. The axis of the learning rates is logarithmic; that of the losses covers the smoothed losses, and the line of the losses is cut off above.</summary>
    /// <param name="markup">Receives the image.</param>
    /// <param name="points">The points, at least one.</param>
    /// <param name="suggestion">The learning rate to mark; null for none.</param>
    public static void Draw(Markup markup, IReadOnlyList<LearningRatePoint> points, double? suggestion)
    {
        double[] losses = [.. points.Select(point => point.SmoothedLoss)];
        double range = Math.Max(losses.Max() - losses.Min(), Math.Max(1e-3 * losses.Max(), 1e-9)), step = ReportCharts.Step(range);
        double low = Math.Floor(losses.Min() / step) * step, high = Math.Max(Math.Ceiling(losses.Max() / step) * step, low + step);
        double first = Math.Log10(points[0].LearningRate), last = Math.Max(Math.Log10(points[^1].LearningRate), first + 0.1);

        markup.Add($"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {Height}" width="{Width}" height="{Height}" role="img" aria-label="loss over learning rate" data-chart="learning-rate">""");
        markup.Add($"""<style>{new Markup.Literal(Style)}</style>""");
        markup.Add($"""<rect class="surface" width="{Width}" height="{Height}"/><clipPath id="frame"><rect x="{Left}" y="{Top}" width="{Right - Left}" height="{Bottom - Top}"/></clipPath>""");
        markup.Add($"""<text class="title" x="{Left}" y="26">Training loss over learning rate</text>""");
        markup.Add($"""<path class="smoothed" d="M{Left} 42h22"/><text class="tick" x="{Left + 28}" y="46">smoothed</text><path class="loss" d="M{Left + 110} 42h22"/><text class="tick" x="{Left + 138}" y="46">of each batch</text>""");
        for (int i = 0; low + i * step <= high + step / 2; i++)
        {
            double loss = low + i * step;
            markup.Add($"""<path class="grid" d="M{Left} {Y(loss):f1}H{Right}"/><text class="tick" x="{Left - 8}" y="{Y(loss) + 4:f1}" text-anchor="end">{loss:0.######}</text>""");
        }
        foreach (double rate in Ticks(first, last))
            markup.Add($"""<path class="grid" d="M{X(rate):f1} {Top}V{Bottom}"/><text class="tick" x="{X(rate):f1}" y="{Bottom + 18}" text-anchor="middle">{Text(rate)}</text>""");
        markup.Add($"""<text class="tick" x="{(Left + Right) / 2}" y="{Height - 14}" text-anchor="middle">learning rate, logarithmic</text><text class="tick" transform="translate(16 {(Top + Bottom) / 2}) rotate(-90)" text-anchor="middle">loss, nats</text>""");

        Line("loss", point => point.Loss);
        Line("smoothed", point => point.SmoothedLoss);
        if (suggestion is { } suggested)
        {
            bool isLeft = X(suggested) > (Left + Right) / 2;
            markup.Add($"""<path class="suggestion" data-suggestion="{suggested}" d="M{X(suggested):f1} {Top}V{Bottom}"/>""");
            markup.Add($"""<text class="suggested" x="{X(suggested) + (isLeft ? -8 : 8):f1}" y="{Bottom - 10}" text-anchor="{(isLeft ? "end" : "start")}">suggested: {suggested:g3}</text>""");
        }
        markup.Add($"</svg>");

        double X(double rate) => Left + (Math.Log10(rate) - first) / (last - first) * (Right - Left);
        double Y(double loss) => Bottom - (loss - low) / (high - low) * (Bottom - Top);

        void Line(string name, Func<LearningRatePoint, double> loss)
        {
            string line = string.Join(' ', points.Select(point => FormattableString.Invariant($"{X(point.LearningRate):f1},{Y(loss(point)):f1}")));
            string values = string.Join(' ', points.Select(point => loss(point).ToString("g6", CultureInfo.InvariantCulture)));
            markup.Add($"""<polyline class="{name}" clip-path="url(#frame)" data-values="{values}" points="{line}"/>""");
        }
    }

    /// <summary>Gets the rates with a grid line: powers of ten; if there are fewer than three, also twice and five times these.</summary>
    private static IEnumerable<double> Ticks(double first, double last)
    {
        double[] factors = Math.Floor(last) - Math.Ceiling(first) >= 2 ? [1] : [1, 2, 5];
        return Enumerable.Range((int)Math.Floor(first), (int)Math.Ceiling(last) - (int)Math.Floor(first) + 1)
            .SelectMany(power => factors.Select(factor => factor * Math.Pow(10, power)))
            .Where(rate => Math.Log10(rate) >= first - 1e-6 && Math.Log10(rate) <= last + 1e-6);
    }

    private static string Text(double rate) => rate is >= 0.0099 and < 10000 ? rate.ToString("g3", CultureInfo.InvariantCulture) : rate.ToString("0e-0", CultureInfo.InvariantCulture);
}

using System.Globalization;

namespace Microsoft.ML.RepVgg.Reports;

/// <summary>Draws the charts of the report as SVG, whose colours are those of the page's style sheet. Values are also in <c>data-</c> attributes, and in titles that browsers show under the pointer.</summary>
internal static class ReportCharts
{
    private const int LongestName = 22, LabelSize = 12;

    /// <summary>A line of a chart.</summary>
    /// <param name="Name">Name in titles, and class in the style sheet.</param>
    /// <param name="Values">One value per epoch; null or not finite where there is none.</param>
    internal sealed record Line(string Name, IReadOnlyList<double?> Values);

    /// <summary>Draws values over epochs.</summary>
    /// <param name="markup">Receives the chart.</param>
    /// <param name="name">What is drawn.</param>
    /// <param name="epochs">The epochs, in increasing order.</param>
    /// <param name="lines">The lines.</param>
    /// <param name="bestEpoch">Epoch to mark; null for none.</param>
    /// <param name="unit">"%" for shares, which are drawn in percent; otherwise empty.</param>
    public static void Curves(Markup markup, string name, IReadOnlyList<int> epochs, IReadOnlyList<Line> lines, int? bestEpoch, string unit)
    {
        const int Width = 540, Height = 300, Left = 52, Right = 526, Top = 14, Bottom = 262;
        double factor = unit == "%" ? 100 : 1;
        double[] values = [.. lines.SelectMany(line => line.Values).OfType<double>().Where(double.IsFinite).Select(value => value * factor)];
        if (values.Length == 0)
            return;
        double range = Math.Max(values.Max() - values.Min(), Math.Max(1e-3 * Math.Abs(values.Max()), 1e-9)), step = Step(range);
        double low = Math.Floor(values.Min() / step) * step, high = Math.Max(Math.Ceiling(values.Max() / step) * step, low + step);
        int first = epochs[0], last = Math.Max(epochs[^1], first + 1), epochStep = (int)Math.Max(Math.Round(Step(last - first)), 1);

        markup.Add($"""<svg viewBox="0 0 {Width} {Height}" role="img" aria-label="{name}" data-chart="{name}">""");
        for (int i = 0; low + i * step <= high + step / 2; i++)
        {
            double value = low + i * step, y = Y(value);
            markup.Add($"""<path class="grid" d="M{Left} {y:f1}H{Right}"/><text class="tick" x="{Left - 8}" y="{y + 4:f1}" text-anchor="end">{value:0.######}{unit}</text>""");
        }
        for (int epoch = (first + epochStep - 1) / epochStep * epochStep; epoch <= epochs[^1]; epoch += epochStep)
            markup.Add($"""<text class="tick" x="{X(epoch):f1}" y="{Bottom + 18}" text-anchor="middle">{epoch}</text>""");
        markup.Add($"""<text class="tick" x="{(Left + Right) / 2}" y="{Height - 4}" text-anchor="middle">epoch</text>""");
        if (bestEpoch is { } best && best >= first && best <= epochs[^1])
            markup.Add($"""<path class="best" d="M{X(best):f1} {Top}V{Bottom}"><title>best epoch: {best}</title></path>""");
        foreach (var line in lines)
        {
            int[] known = [.. Enumerable.Range(0, epochs.Count).Where(i => line.Values[i] is { } value && double.IsFinite(value))];
            if (known.Length == 0)
                continue;
            string points = string.Join(' ', known.Select(i => FormattableString.Invariant($"{X(epochs[i]):f1},{Y(line.Values[i]!.Value * factor):f1}")));
            string data = string.Join(' ', known.Select(i => line.Values[i]!.Value.ToString(CultureInfo.InvariantCulture)));
            markup.Add($"""<polyline class="line {line.Name}" data-line="{line.Name}" data-values="{data}" points="{points}"/>""");
            foreach (int i in known)
                markup.Add($"""<circle class="{line.Name}" cx="{X(epochs[i]):f1}" cy="{Y(line.Values[i]!.Value * factor):f1}" r="{(known.Length <= 60 ? 2.5 : 1.2)}"><title>epoch {epochs[i]}, {line.Name}: {line.Values[i]!.Value * factor:0.####}{unit}</title></circle>""");
        }
        markup.Add($"</svg>");

        double X(int epoch) => Left + 8 + (double)(epoch - first) / (last - first) * (Right - Left - 16);
        double Y(double value) => Bottom - (value - low) / (high - low) * (Bottom - Top);
    }

    /// <summary>Draws a confusion matrix: the cells of correct images in one colour and those of errors in another one, darker for larger values.</summary>
    /// <param name="markup">Receives the drawing.</param>
    /// <param name="classNames">Names of the classes.</param>
    /// <param name="countOf">Number of items by true class and predicted class.</param>
    /// <param name="items">What is counted, such as "images".</param>
    /// <param name="asShares">Whether cells show percent of the true class; otherwise numbers.</param>
    public static void ConfusionMatrix(Markup markup, IReadOnlyList<string> classNames, Func<int, int, long> countOf, string items, bool asShares)
    {
        int classes = classNames.Count;
        long[][] counts = [.. Enumerable.Range(0, classes).Select(label => Enumerable.Range(0, classes).Select(predicted => countOf(label, predicted)).ToArray())];
        double cell = Math.Clamp(Math.Min(600.0 + 5 * classes, 800) / classes, 1, 84), side = cell * classes;
        int labelStep = (int)Math.Ceiling((LabelSize + 1) / cell);
        string[] names = [.. classNames.Select(Shortened)];
        double nameWidth = names.Max(TextWidth), left = nameWidth + 12, top = nameWidth * 0.71 + 20, width = left + side + nameWidth * 0.71 + 14, height = top + side + 2;
        long largest = counts.Max(row => row.Max());
        double digits = asShares ? 3 : Math.Max(largest.ToString(CultureInfo.InvariantCulture).Length, 2);
        double textSize = Math.Min(13, cell * 0.92 / (digits * 0.58));

        markup.Add($"""<svg class="matrix" viewBox="0 0 {width:f0} {height:f0}" width="{width:f0}" role="img" aria-label="confusion matrix" data-matrix="{(asShares ? "shares" : "counts")}">""");
        markup.Add($"""<rect class="panel" x="{left:f1}" y="{top:f1}" width="{side:f1}" height="{side:f1}"/>""");
        for (int i = 0; i < classes; i += labelStep)
        {
            double middle = (i + 0.5) * cell;
            markup.Add($"""<text class="label" x="{left - 7:f1}" y="{top + middle + 4:f1}" text-anchor="end">{names[i]}<title>{classNames[i]}</title></text>""");
            markup.Add($"""<text class="label" transform="translate({left + middle + 3:f1} {top - 7:f1}) rotate(-45)">{names[i]}<title>{classNames[i]}</title></text>""");
        }
        if (cell >= 6)
        {
            string lines = string.Concat(Enumerable.Range(0, classes + 1).Select(i => FormattableString.Invariant($"M{left:f1} {top + i * cell:f1}h{side:f1}M{left + i * cell:f1} {top:f1}v{side:f1}")));
            markup.Add($"""<path class="grid" d="{lines}"/>""");
        }
        for (int label = 0; label < classes; label++)
        {
            long support = counts[label].Sum();
            for (int predicted = 0; predicted < classes; predicted++)
            {
                long count = counts[label][predicted];
                if (count == 0)
                    continue;
                double share = (double)count / support, strength = Math.Sqrt(asShares ? share : (double)count / largest);
                double x = left + predicted * cell, y = top + label * cell, gap = cell >= 6 ? 0.5 : 0;
                markup.Add($"""<rect class="{(label == predicted ? "right" : "wrong")}" x="{x + gap:f1}" y="{y + gap:f1}" width="{cell - 2 * gap:f1}" height="{cell - 2 * gap:f1}" fill-opacity="{0.12 + 0.88 * strength:f2}" data-label="{label}" data-predicted="{predicted}" data-count="{count}"><title>{classNames[label]} predicted as {classNames[predicted]}: {count} {items}, {100 * share:0.#}% of the class</title></rect>""");
                if (textSize >= 6.5)
                    markup.Add($"""<text class="value{(strength > 0.6 ? " strong" : "")}" x="{x + cell / 2:f1}" y="{y + cell / 2 + textSize * 0.36:f1}" font-size="{textSize:f1}" text-anchor="middle">{(asShares ? 100 * share : count):0}</text>""");
            }
        }
        markup.Add($"</svg>");
    }

    /// <summary>Draws the accuracy, as a line, over the probability of the predicted class, the differences between the two, and the number of images per range of probabilities.</summary>
    public static void Reliability(Markup markup, IReadOnlyList<ReliabilityBin> bins)
    {
        const int Left = 46, Top = 10, Side = 330, CountTop = Top + Side + 14, CountHeight = 64, Bottom = CountTop + CountHeight;
        int most = bins.Max(bin => bin.Count);
        markup.Add($"""<svg viewBox="0 0 400 {Bottom + 40}" width="400" role="img" aria-label="reliability diagram" data-chart="reliability">""");
        for (int i = 0; i <= 5; i++)
        {
            double at = Side * i / 5.0;
            markup.Add($"""<path class="grid" d="M{Left} {Top + Side - at:f1}h{Side}"/><text class="tick" x="{Left - 8}" y="{Top + Side - at + 4:f1}" text-anchor="end">{20 * i}%</text><text class="tick" x="{Left + at:f1}" y="{Bottom + 18}" text-anchor="middle">{20 * i}%</text>""");
        }
        foreach (var bin in bins.Where(bin => bin.Count > 0))
        {
            double x = Left + bin.Low * Side + 1, width = (bin.High - bin.Low) * Side - 2, low = Math.Min(bin.Accuracy, bin.Confidence), high = Math.Max(bin.Accuracy, bin.Confidence);
            markup.Add($"""<g data-low="{bin.Low}" data-count="{bin.Count}" data-accuracy="{bin.Accuracy}" data-confidence="{bin.Confidence}"><title>{bin.Count} images, mean probability {100 * bin.Confidence:0.0}%, accuracy {100 * bin.Accuracy:0.0}%</title>""");
            markup.Add($"""<rect class="right" x="{x:f1}" y="{Top + Side * (1 - low):f1}" width="{width:f1}" height="{Side * low:f1}"/>""");
            markup.Add($"""<rect class="difference" x="{x:f1}" y="{Top + Side * (1 - high):f1}" width="{width:f1}" height="{Side * (high - low):f1}"/><path class="accuracy" d="M{x:f1} {Top + Side * (1 - bin.Accuracy):f1}h{width:f1}"/>""");
            markup.Add($"""<rect class="count" x="{x:f1}" y="{Bottom - CountHeight * (double)bin.Count / most:f1}" width="{width:f1}" height="{CountHeight * (double)bin.Count / most:f1}"/></g>""");
        }
        markup.Add($"""<path class="diagonal" d="M{Left} {Top + Side}L{Left + Side} {Top}"/><path class="grid" d="M{Left} {Bottom}h{Side}"/>""");
        markup.Add($"""<text class="tick" x="{Left - 8}" y="{CountTop + 10}" text-anchor="end">{most}</text><text class="tick" x="{Left + Side / 2}" y="{Bottom + 36}" text-anchor="middle">probability of the predicted class</text></svg>""");
    }

    /// <summary>Gets the distance of grid lines for a range of values: 1, 2 or 5 times a power of ten, so that there are three to seven.</summary>
    internal static double Step(double range)
    {
        double power = Math.Pow(10, Math.Floor(Math.Log10(range / 3)));
        return power * new[] { 5.0, 2.0, 1.0 }.First(factor => range / (factor * power) >= 3 - 1e-9);
    }

    private static string Shortened(string name)
    {
        var text = new StringInfo(name);
        return text.LengthInTextElements <= LongestName ? name : text.SubstringByTextElements(0, LongestName - 1) + "…";
    }

    /// <summary>Estimates the width of a label; Chinese, Japanese and Korean characters and emoji are about twice as wide as Latin letters.</summary>
    private static double TextWidth(string text) => LabelSize * text.Sum(character => character < 0x1100 ? 0.57 : 1.0);
}

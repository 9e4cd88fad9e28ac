using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.Runtime;
using RepVgg.Architectures;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Rows with pixels far beyond those of the others, which are usually errors in the data.</summary>
public class AbsurdPixelTests
{
    private const int Count = 200, Size = 12;

    /// <summary>Images of values that are not integers, so that they are stored as floats.</summary>
    private static float[] Images(int channels, float scale = 1)
    {
        var random = new Random(channels);
        return [.. Enumerable.Range(0, Count * channels * Size * Size).Select(_ => scale * 255 * random.NextSingle())];
    }

    private static InMemorySamples Samples(float[] pixels, int channels) => new(pixels, [.. Enumerable.Range(0, Count).Select(i => i % 2)], channels, Size, Size, 2);

    /// <summary>Mean and standard deviation of the values that pass a filter, computed in another way.</summary>
    private static (double Mean, double Deviation) Reference(float[] pixels, int channels, int channel, Func<int, bool> isUsed)
    {
        int plane = Size * Size;
        double[] used = [.. Enumerable.Range(0, pixels.Length).Where(i => i / plane % channels == channel && isUsed(i)).Select(i => (double)pixels[i])];
        double mean = used.Average();
        return (mean, Math.Sqrt(used.Average(value => (value - mean) * (value - mean))));
    }

    public static TheoryData<int, float, float, string> Faults
    {
        get
        {
            var data = new TheoryData<int, float, float, string>();
            foreach (int channels in new[] { 1, 3 })
            {
                foreach (float scale in new[] { 1f, 1f / 255, 257f })
                {
                    foreach (float value in new[] { 1e10f, -1e10f, 3e38f, 1e7f })
                    {
                        foreach (string place in new[] { "one pixel", "a whole row", "several rows", "almost half" })
                            data.Add(channels, scale, value, place);
                    }
                }
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Faults))]
    public void The_statistics_are_those_of_the_other_pixels(int channels, float scale, float value, string place)
    {
        int length = channels * Size * Size;
        float[] pixels = Images(channels, scale);
        int[] rows = place switch { "one pixel" or "a whole row" => [17], "several rows" => [3, 17, 199], _ => [.. Enumerable.Range(0, 99).Select(i => 2 * i + 1)] };
        var absurd = new HashSet<int>();
        foreach (int row in rows)
            absurd.UnionWith(Enumerable.Range(row * length, length).Where(i => place == "a whole row" || i % length == row % length));
        foreach (int index in absurd)
            pixels[index] = value;

        var samples = Samples(pixels, channels);
        var outliers = PixelOutliers.Find(samples, CancellationToken.None);
        Assert.NotNull(outliers);
        Assert.Equal(rows.Length, outliers.Count);
        Assert.Equal(rows.Take(5).Select(row => (long)row), outliers.FirstRows);
        Assert.Equal(value, outliers.Extreme);
        var measured = PixelStatistics.Measure(samples, outliers.MeasurementLimit);
        for (int channel = 0; channel < channels; channel++)
        {
            var (mean, deviation) = Reference(pixels, channels, channel, i => !absurd.Contains(i));
            Assert.Equal(1, measured.Mean[channel] / mean, 1e-5);
            Assert.Equal(1, measured.Scale[channel] * deviation, 1e-5);
        }
    }

    [Fact]
    public void Sets_without_absurd_pixels_have_none()
    {
        Assert.Null(Find(Images(1)));
        Assert.Null(Find(Images(3, 1f / 255), 3));
        Assert.Null(Find(Images(1, 257))); // 16-bit values
        Assert.Null(Find([.. Images(1, 0.02f).Select(value => value - 2.5f)])); // standardised
        Assert.Null(Find(new float[Count * Size * Size])); // all black
        // Rows within 0..255 among rows of 0..1, and dark rows among bright ones.
        Assert.Null(Find([.. Images(1, 1f / 255).Select((value, i) => i < Size * Size ? 254.5f : value)]));
        Assert.Null(Find([.. Images(1, 257).Select((value, i) => i % (2 * Size * Size) < Size * Size ? 0 : value)]));

        static PixelOutliers? Find(float[] pixels, int channels = 1) => PixelOutliers.Find(Samples(pixels, channels), CancellationToken.None);
    }

    /// <summary>Images of 16 bits: most are dark, and some are bright.</summary>
    [Theory]
    [InlineData(3_000, 60_000, 5, true)]
    [InlineData(700, 65_535, 5, true)]
    [InlineData(3_000, 60_000, 40, true)]
    [InlineData(3_000, 29_000, 5, false)]
    [InlineData(60_000, 3_000, 5, false)]
    public void Bright_and_dark_images_are_measured_whole(int usual, int other, int percent, bool isNamed)
    {
        var random = new Random(1);
        float[] pixels = [.. Enumerable.Range(0, Count * Size * Size).Select(i => MathF.Round(random.NextSingle() * (i / (Size * Size) % 100 < percent ? other : usual)))];
        for (int image = 0; image < Count; image++)
            pixels[image * Size * Size] = image % 100 < percent ? other : usual;
        var samples = Samples(pixels, 1);
        var outliers = PixelOutliers.Find(samples, CancellationToken.None);
        Assert.Equal(isNamed ? Count * percent / 100 : 0, outliers?.Count ?? 0);
        Assert.False(outliers?.AreLeftOut ?? false);
        var (mean, deviation) = Reference(pixels, 1, 0, _ => true);
        var measured = PixelStatistics.Measure(samples, outliers?.MeasurementLimit ?? float.PositiveInfinity);
        Assert.Equal(1, measured.Mean[0] / mean, 1e-5);
        Assert.Equal(1, measured.Scale[0] * deviation, 1e-5);
    }

    [Theory]
    [InlineData(9.9f, false, false)]
    [InlineData(10.1f, true, false)]
    [InlineData(99f, true, false)]
    [InlineData(101f, true, true)]
    public void A_warning_begins_at_ten_medians_and_leaving_out_at_a_hundred(float factor, bool isNamed, bool isLeftOut)
    {
        const float Usual = 1000;
        float[] pixels = [.. Enumerable.Repeat(Usual, Count * Size * Size)];
        pixels[Size * Size * 7] = factor * Usual;
        var outliers = PixelOutliers.Find(Samples(pixels, 1), CancellationToken.None);
        Assert.Equal((isNamed, isLeftOut), (outliers is not null, outliers?.AreLeftOut ?? false));
    }

    [Fact]
    public void Pixels_that_are_measured_are_not_said_to_be_left_out()
    {
        var rows = Rows(1);
        rows[41].Features[5] = 3_000;
        var (model, warnings) = Fit(rows, 1, options => options.ValidationSetFraction = 0);
        using (model)
            Assert.EndsWith("(10 times the median of the images' largest, and at least 255): row 41. The images are used. Correct or remove the rows if the values are errors.", Assert.Single(warnings), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(200.1f)]
    [InlineData(0.1f)]
    [InlineData(0f)]
    [InlineData(-7.3f)]
    public void A_channel_of_one_value_has_scale_one(float value)
    {
        float[] pixels = new float[Count * Size * Size];
        Array.Fill(pixels, value);
        var measured = PixelStatistics.Measure(Samples(pixels, 1));
        Assert.Equal(value, measured.Mean[0], 1e-6f);
        Assert.Equal(1, measured.Scale[0]);
    }

    [Theory]
    [InlineData(1, 1e10f)]
    [InlineData(3, -4e9f)]
    public void Training_warns_with_the_rows_and_learns_all_the_same(int channels, float value)
    {
        var rows = Rows(channels);
        // The rows keep their numbers although another row is skipped and some are split off for validation.
        rows[2].Features[0] = float.NaN;
        foreach (int row in new[] { 41, 120 })
            rows[row].Features[row % rows[row].Features.Length] = value;
        var (model, warnings) = Fit(rows, channels);
        using (model)
        {
            string all = string.Join('\n', warnings);
            Assert.Contains("images have pixels as large as", all.Replace("image has", "images have", StringComparison.Ordinal), StringComparison.Ordinal);
            Assert.Contains("The normalisation is computed without pixels beyond ", all, StringComparison.Ordinal);
            int[] named = [.. System.Text.RegularExpressions.Regex.Matches(all, @"rows? ([0-9, ]+)\.").SelectMany(match => match.Groups[1].Value.Split(", ")).Select(int.Parse).Order()];
            Assert.Equal([41, 120], named);
            Assert.All(model.Network.Normalization.Scale, scale => Assert.InRange(scale, 0.005f, 0.05f));
        }
    }

    [Fact]
    public void Training_that_diverges_names_the_rows()
    {
        var rows = Rows(1);
        rows[41].Features[5] = 3e38f;
        // A validation set of its own, so that the row is a training row.
        var error = Assert.Throws<TrainingDivergedException>(() => Fit(rows, 1, options => options.ValidationSetFraction = 0));
        Assert.Contains("1 training image has pixels as large as 3e+38, where absolute values up to ", error.Message, StringComparison.Ordinal);
        Assert.Contains("row 41. Correct or remove them first.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_given_normalisation_is_used_and_the_rows_are_named()
    {
        var rows = Rows(1);
        rows[41].Features[5] = 1e10f;
        var given = new Normalization([100], [0.02f]);
        var (model, warnings) = Fit(rows, 1, options => (options.Normalization, options.ValidationSetFraction) = (given, 0));
        using (model)
        {
            Assert.Equal(given.Scale, model.Network.Normalization.Scale);
            Assert.EndsWith("row 41. The images are used. Correct or remove the rows if the values are errors.", Assert.Single(warnings), StringComparison.Ordinal);
        }
    }

    private sealed class Row
    {
        public string Label { get; set; } = "";

        public float[] Features { get; set; } = [];
    }

    private static List<Row> Rows(int channels) =>
        [.. Stripes.Rows(Count, seed: 3).Select(row => new Row { Label = row.Label, Features = [.. Enumerable.Range(0, channels).SelectMany(_ => row.Features).Select(value => value + 0.25f)] })];

    private static (RepVggTransformer Model, List<string> Warnings) Fit(List<Row> rows, int channels, Action<RepVggTrainer.Options>? change = null)
    {
        var warnings = new List<string>();
        var context = new MLContext(seed: 1);
        context.Log += (_, line) =>
        {
            lock (warnings)
            {
                if (line.Kind == ChannelMessageKind.Warning && line.RawMessage.Contains("pixels as large as", StringComparison.Ordinal))
                    warnings.Add(line.RawMessage);
            }
        };
        var options = Stripes.Options(epochs: 2);
        options.Device = TrainingDevice.Cpu;
        options.InvalidRows = InvalidRowHandling.Skip;
        (options.ImageChannels, options.ImageHeight, options.ImageWidth) = (channels, Size, Size);
        change?.Invoke(options);
        var definition = SchemaDefinition.Create(typeof(Row));
        definition[nameof(Row.Features)].ColumnType = new VectorDataViewType(NumberDataViewType.Single, channels, Size, Size);
        var data = context.Data.LoadFromEnumerable(rows, definition);
        return (Stripes.Pipeline(context, options).Fit(data).LastTransformer, warnings);
    }
}

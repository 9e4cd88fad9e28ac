using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using RepVgg.Backends;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;

namespace Microsoft.ML.RepVgg.Reports;

/// <summary>An image with its true class and the probabilities that a classifier gave it.</summary>
/// <param name="Path">File of the image, for lists of images; null if it has none.</param>
/// <param name="Label">Index of the true class, from 0.</param>
/// <param name="Probabilities">One probability per class; their sum is 1.</param>
public sealed record ClassifiedImage(string? Path, int Label, IReadOnlyList<float> Probabilities);

/// <summary>What a classifier predicted for an image.</summary>
/// <param name="Index">Position of the image in the data, from 0.</param>
/// <param name="Path">File of the image; null if it has none.</param>
/// <param name="Label">Index of the true class, from 0.</param>
/// <param name="Predicted">Index of the class with the largest probability, from 0.</param>
/// <param name="Probability">Probability of the predicted class.</param>
/// <param name="Loss">-ln of the probability of the true class, which is at least 1e-15 in this formula.</param>
public sealed record ImagePrediction(int Index, string? Path, int Label, int Predicted, double Probability, double Loss);

/// <summary>Metrics of one class.</summary>
/// <param name="Name">Name of the class.</param>
/// <param name="Support">Number of images of the class.</param>
/// <param name="Precision">Share of the images predicted as the class that belong to it; 0 if there are none.</param>
/// <param name="Recall">Share of the images of the class that are predicted as it; 0 if there are none.</param>
/// <param name="F1">Harmonic mean of precision and recall; 0 if both are 0.</param>
public sealed record ClassMetrics(string Name, int Support, double Precision, double Recall, double F1);

/// <summary>Images of one class that are predicted as another one.</summary>
/// <param name="Label">Index of the true class.</param>
/// <param name="Predicted">Index of the predicted class.</param>
/// <param name="Count">Number of these images.</param>
public sealed record ConfusedPair(int Label, int Predicted, int Count);

/// <summary>The images whose predicted class has a probability in a range: more than <paramref name="Low"/>, at most <paramref name="High"/>.</summary>
/// <param name="Low">Lower end of the range.</param>
/// <param name="High">Upper end of the range.</param>
/// <param name="Count">Number of images.</param>
/// <param name="Confidence">Mean probability of the predicted classes; 0 without images.</param>
/// <param name="Accuracy">Share of the images that are classified correctly; 0 without images.</param>
public sealed record ReliabilityBin(double Low, double High, int Count, double Confidence, double Accuracy);

/// <summary>Metrics of a classifier on labelled images.</summary>
public sealed class ClassificationReport
{
    private const int Bins = 15;
    private const double SmallestProbability = 1e-15, SumTolerance = 1e-3;

    private static readonly JsonSerializerOptions _json = new(RunFolder.JsonOptions) { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, Converters = { new RowConverter() } };

    private readonly int[][] _confusion;

    private ClassificationReport(string[] classNames, IEnumerable<ClassifiedImage> images)
    {
        int classes = classNames.Length;
        _confusion = [.. classNames.Select(_ => new int[classes])];
        var predictions = new List<ImagePrediction>();
        int top5 = 0;
        foreach (var image in images)
        {
            float[] probabilities = Check(image, predictions.Count, classes);
            int predicted = Logits.IndexOfMax(probabilities);
            if (Logits.Rank(probabilities, image.Label) < MetricTotals.Top)
                top5++;
            _confusion[image.Label][predicted]++;
            double loss = -Math.Log(Math.Max(probabilities[image.Label], SmallestProbability));
            predictions.Add(new ImagePrediction(predictions.Count, image.Path, image.Label, predicted, probabilities[predicted], Math.Max(loss, 0)));
        }
        if (predictions.Count == 0)
            throw new ArgumentException("There are no images to evaluate. Check the folder, file or filter that the test data comes from.", nameof(images));

        ClassNames = classNames;
        Predictions = predictions;
        Top1Accuracy = Share(predictions.Count(image => image.Predicted == image.Label), predictions.Count);
        Top5Accuracy = classes > MetricTotals.Top ? Share(top5, predictions.Count) : null;
        LogLoss = predictions.Average(image => image.Loss);
        Classes = [.. classNames.Select(MetricsOf)];
        var present = Classes.Where(metrics => metrics.Support > 0).ToList();
        (MacroPrecision, MacroRecall, MacroF1) = (present.Average(metrics => metrics.Precision), present.Average(metrics => metrics.Recall), present.Average(metrics => metrics.F1));
        ReliabilityBins = BinsOf(predictions);
        ExpectedCalibrationError = ReliabilityBins.Sum(bin => bin.Count * Math.Abs(bin.Accuracy - bin.Confidence)) / predictions.Count;
    }

    /// <summary>Names of the classes.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>Number of rows without a prediction, which are left out of everything else: images that could not be read.</summary>
    public int MissingPredictions { get; private set; }

    /// <summary>The prediction of each image, in the order of the data.</summary>
    public IReadOnlyList<ImagePrediction> Predictions { get; }

    /// <summary>Share of the images whose most probable class is the true one.</summary>
    public double Top1Accuracy { get; }

    /// <summary>Share of the images whose true class is among the five most probable ones; null with at most five classes, where it would always be 1.</summary>
    public double? Top5Accuracy { get; }

    /// <summary>Mean of the losses of the images, in nats.</summary>
    public double LogLoss { get; }

    /// <summary>Mean precision of the classes that have images.</summary>
    public double MacroPrecision { get; }

    /// <summary>Mean recall of the classes that have images.</summary>
    public double MacroRecall { get; }

    /// <summary>Mean F1 of the classes that have images.</summary>
    public double MacroF1 { get; }

    /// <summary>Expected calibration error: the mean over the images of |accuracy - confidence| of their bin in <see cref="ReliabilityBins"/>.</summary>
    /// <remarks>Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2.</remarks>
    public double ExpectedCalibrationError { get; }

    /// <summary>Metrics of each class.</summary>
    public IReadOnlyList<ClassMetrics> Classes { get; }

    /// <summary>Numbers of images; the first index is the true class, the second one the predicted class.</summary>
    public IReadOnlyList<IReadOnlyList<int>> ConfusionMatrix => _confusion;

    /// <summary>15 ranges of equal width of the probability of the predicted class.</summary>
    public IReadOnlyList<ReliabilityBin> ReliabilityBins { get; }

    /// <summary>Computes the metrics.</summary>
    /// <param name="classNames">Names of the classes, at least two.</param>
    /// <param name="images">The images; they are enumerated once and not kept.</param>
    /// <returns>The metrics.</returns>
    /// <exception cref="ArgumentException">There are fewer than two classes or no images, a label is out of range, or the probabilities of an image are not finite, are not one per class, or do not sum to 1.</exception>
    public static ClassificationReport Create(IEnumerable<string> classNames, IEnumerable<ClassifiedImage> images)
    {
        ArgumentNullException.ThrowIfNull(classNames);
        ArgumentNullException.ThrowIfNull(images);
        string[] names = [.. classNames];
        if (names.Length < 2)
            throw new ArgumentException(names.Length == 0 ? "There are no classes; at least two are needed." : $"There is one class, '{MessageText.Printable(names[0])}'; at least two are needed.", nameof(classNames));
        return new ClassificationReport(names, images);
    }

    /// <summary>Computes the metrics of scored data.</summary>
    /// <param name="scored">The output of a classifier for labelled data.</param>
    /// <param name="labelColumnName">Column with the true class: a key, as MapValueToKey makes it, whose values are the names of the classes.</param>
    /// <param name="scoreColumnName">Column with the probabilities.</param>
    /// <param name="pathColumnName">Column of text with the path of each image; null for none.</param>
    /// <returns>The metrics. Rows whose scores are all NaN, the missing predictions of rows that a transformer skips, are left out and counted in <see cref="MissingPredictions"/>.</returns>
    /// <exception cref="ArgumentException">A column is missing or of the wrong type, or a row cannot be used (see <see cref="Create"/>).</exception>
    public static ClassificationReport FromScoredData(IDataView scored, string labelColumnName = "Label", string scoreColumnName = "Score", string? pathColumnName = null)
    {
        ArgumentNullException.ThrowIfNull(scored);
        var label = Find(scored.Schema, labelColumnName, "label", type => type is KeyDataViewType && type.RawType == typeof(uint), "a key of UInt32, as MapValueToKey makes it");
        var score = Find(scored.Schema, scoreColumnName, "score", type => type is VectorDataViewType { ItemType: NumberDataViewType { RawType: var raw }, Size: > 0 } && raw == typeof(float), "a vector of Single of known size, as a classifier makes it");
        DataViewSchema.Column? path = pathColumnName is null ? null : Find(scored.Schema, pathColumnName, "path", type => type is TextDataViewType, "text");
        int classes = ((VectorDataViewType)score.Type).Size;
        ulong keys = ((KeyDataViewType)label.Type).Count;
        if (keys != (ulong)classes)
            throw new ArgumentException($"The label column '{labelColumnName}' has {keys} classes, but the score column '{scoreColumnName}' has {classes}. The key mapping of the labels must be the one that the classifier was trained with.");
        var names = KeyValues.Read(label, classes);
        var trained = KeyValues.OfScores(score, classes) ?? names;
        int different = Enumerable.Range(0, classes).FirstOrDefault(i => names[i] != trained[i], -1);
        if (different >= 0)
            throw new ArgumentException($"Class {different} is '{MessageText.Printable(names[different])}' in the label column '{labelColumnName}', but '{MessageText.Printable(trained[different])}' in the score column '{scoreColumnName}'. The key mapping of the labels must be the one that the classifier was trained with.");
        int missing = 0;
        var report = Create(names, Rows(scored, label, score, path, () => missing++));
        report.MissingPredictions = missing;
        return report;
    }

    /// <summary>Gets the pairs of classes that are confused most often, by decreasing number of images.</summary>
    /// <param name="maximum">Maximum number of pairs.</param>
    public IReadOnlyList<ConfusedPair> MostConfused(int maximum = 10) =>
    [
        .. _confusion.SelectMany((row, label) => row.Select((count, predicted) => new ConfusedPair(label, predicted, count)))
            .Where(pair => pair.Label != pair.Predicted && pair.Count > 0)
            .OrderByDescending(pair => pair.Count)
            .Take(maximum),
    ];

    /// <summary>Gets the images with the largest losses, by decreasing loss.</summary>
    /// <param name="maximum">Maximum number of images.</param>
    public IReadOnlyList<ImagePrediction> TopLosses(int maximum = 12) => [.. Predictions.OrderByDescending(image => image.Loss).Take(maximum)];

    /// <summary>Writes all metrics as JSON.</summary>
    /// <param name="path">The file, which is replaced.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void WriteMetrics(string path)
    {
        var metrics = new
        {
            Images = Predictions.Count,
            MissingPredictions,
            AccuracyTop1 = Top1Accuracy,
            AccuracyTop5 = Top5Accuracy,
            LogLoss,
            MacroPrecision,
            MacroRecall,
            MacroF1,
            ExpectedCalibrationError,
            Classes,
            ConfusionMatrix,
            MostConfused = MostConfused().Select(pair => new { Label = ClassNames[pair.Label], Predicted = ClassNames[pair.Predicted], pair.Count }),
            ReliabilityBins,
        };
        AtomicFile.Write(path, stream => JsonSerializer.Serialize(stream, metrics, _json));
    }

    /// <summary>Writes one line per image: path, label, predicted (names of classes), p (probability of the predicted class), loss.</summary>
    /// <param name="path">The file, which is replaced.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void WritePredictions(string path) => AtomicFile.Write(path, stream =>
    {
        using var writer = new StreamWriter(stream, leaveOpen: true) { NewLine = "\n" };
        writer.WriteLine("path,label,predicted,p,loss");
        foreach (var image in Predictions)
            writer.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Quoted(image.Path ?? "")},{Quoted(ClassNames[image.Label])},{Quoted(ClassNames[image.Predicted])},{image.Probability:g6},{image.Loss:g6}"));
    });

    private static string Quoted(string text) => text.AsSpan().ContainsAny(",\"\r\n") ? $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : text;

    private static double Share(double count, double total) => total == 0 ? 0 : count / total;

    private static float[] Check(ClassifiedImage image, int index, int classes)
    {
        string name = image.Path is null ? $"Image {index}" : $"Image {index} ('{MessageText.Printable(image.Path)}')";
        if (image.Label < 0 || image.Label >= classes)
            throw new ArgumentException($"{name} has the label {image.Label}, but there are {classes} classes, whose labels are 0 to {classes - 1}. Correct the label or remove the image.");
        float[] probabilities = [.. image.Probabilities];
        if (probabilities.Length != classes)
            throw new ArgumentException($"{name} has {probabilities.Length} probabilities, but there are {classes} classes.");
        int invalid = Array.FindIndex(probabilities, value => !(value is >= 0 and <= 1 + (float)SumTolerance));
        if (invalid >= 0)
            throw new ArgumentException(FormattableString.Invariant($"{name} has the probability {probabilities[invalid]} of class {invalid}, which is not between 0 and 1. Probabilities are NaN if the image could not be read; remove such images. If they are logits, apply the softmax."));
        double sum = probabilities.Sum(value => (double)value);
        if (Math.Abs(sum - 1) > SumTolerance)
            throw new ArgumentException(FormattableString.Invariant($"The probabilities of {name[..1].ToLowerInvariant()}{name[1..]} sum to {sum:g6} and not to 1. If they are the outputs of a network without softmax, apply it."));
        return probabilities;
    }

    private static DataViewSchema.Column Find(DataViewSchema schema, string name, string role, Func<DataViewType, bool> fits, string expected)
    {
        var column = schema.GetColumnOrNull(name) ?? throw new ArgumentException($"The {role} column '{name}' does not exist. The columns are {MessageText.Join([.. schema.Select(other => other.Name)], separator: ", ")}.");
        return fits(column.Type) ? column : throw new ArgumentException($"The {role} column '{name}' is of type {column.Type}; it must be {expected}.");
    }

    private static IEnumerable<ClassifiedImage> Rows(IDataView scored, DataViewSchema.Column labelColumn, DataViewSchema.Column scoreColumn, DataViewSchema.Column? pathColumn, Action missing)
    {
        DataViewSchema.Column[] columns = pathColumn is { } needed ? [labelColumn, scoreColumn, needed] : [labelColumn, scoreColumn];
        using var cursor = scored.GetRowCursor(columns);
        var getLabel = cursor.GetGetter<uint>(labelColumn);
        var getScore = cursor.GetGetter<VBuffer<float>>(scoreColumn);
        var getPath = pathColumn is { } column ? cursor.GetGetter<ReadOnlyMemory<char>>(column) : null;
        uint key = 0;
        VBuffer<float> score = default;
        ReadOnlyMemory<char> path = default;
        while (cursor.MoveNext())
        {
            getLabel(ref key);
            getScore(ref score);
            getPath?.Invoke(ref path);
            if (score.IsDense && !score.GetValues().ContainsAnyExcept(float.NaN))
            {
                missing();
                continue;
            }
            if (key == 0)
                throw new ArgumentException($"Row {cursor.Position}, column '{labelColumn.Name}': the label is missing (its value is not among the values of the key mapping). Correct or remove the row.");
            yield return new ClassifiedImage(getPath is null ? null : path.ToString(), (int)key - 1, [.. score.DenseValues()]);
        }
    }

    private static ReliabilityBin[] BinsOf(List<ImagePrediction> predictions)
    {
        var bins = predictions.ToLookup(image => Math.Clamp((int)Math.Ceiling(image.Probability * Bins) - 1, 0, Bins - 1));
        return [.. Enumerable.Range(0, Bins).Select(bin =>
        {
            int count = bins[bin].Count();
            return new ReliabilityBin((double)bin / Bins, (bin + 1.0) / Bins, count, Share(bins[bin].Sum(image => image.Probability), count), Share(bins[bin].Count(image => image.Label == image.Predicted), count));
        })];
    }

    private ClassMetrics MetricsOf(string name, int index)
    {
        int correct = _confusion[index][index], support = _confusion[index].Sum(), predicted = _confusion.Sum(row => row[index]);
        return new ClassMetrics(name, support, Share(correct, predicted), Share(correct, support), Share(2.0 * correct, support + predicted));
    }

    /// <summary>Writes a row of the confusion matrix in one line.</summary>
    private sealed class RowConverter : JsonConverter<IReadOnlyList<int>>
    {
        public override IReadOnlyList<int> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, IReadOnlyList<int> value, JsonSerializerOptions options) => writer.WriteRawValue($"[{string.Join(", ", value)}]");
    }
}

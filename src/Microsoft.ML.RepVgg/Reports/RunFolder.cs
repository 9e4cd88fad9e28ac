using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg.Reports;

/// <summary>The folder with the files of one training run.</summary>
/// <remarks>
/// The names of the files, and the columns of <c>results.csv</c>, are those of Ultralytics, so that its scripts read them. Files are written under a temporary name and
/// renamed when they are complete; only TensorBoard's files are appended to. The settings, the results of the epochs and the evaluation are written by methods of this
/// class. The model and the weights are written by the caller, to the paths that the properties give.
/// </remarks>
public sealed class RunFolder
{
    private const string DefaultName = "train";
    private const string ResultsHeader = "epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0";

    /// <summary>Header of the results of segmentation, where the accuracy is that of the pixels.</summary>
    private const string SegmentationHeader = ResultsHeader + ",metrics/mean_iou";

    internal static readonly JsonSerializerOptions JsonOptions = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Converters = { new JsonStringEnumConverter() },
    };

    private readonly TensorBoardWriter _training, _validation;

    private RunFolder(string path)
    {
        DirectoryPath = path;
        (_training, _validation) = (new TensorBoardWriter(File("train")), new TensorBoardWriter(File("validation")));
    }

    /// <summary>Full path of the folder.</summary>
    public string DirectoryPath { get; }

    /// <summary>Path of <c>args.json</c>, the settings.</summary>
    public string ArgumentsPath => File("args.json");

    /// <summary>Path of <c>results.csv</c>, one line per epoch.</summary>
    public string ResultsPath => File("results.csv");

    /// <summary>Path of <c>metrics.json</c>, the evaluation of the model.</summary>
    public string MetricsPath => File("metrics.json");

    /// <summary>Path of <c>predictions.csv</c>, one line per image of the evaluation.</summary>
    public string PredictionsPath => File("predictions.csv");

    /// <summary>Path of <c>report.html</c>.</summary>
    public string ReportPath => File("report.html");

    /// <summary>Path for the model as ML.NET saves it, <c>model.zip</c>.</summary>
    public string ModelPath => File("model.zip");

    /// <summary>Path for the model as ONNX, <c>model.onnx</c>.</summary>
    public string OnnxPath => File("model.onnx");

    /// <summary>Creates a folder for a run, and checks that files can be written to it.</summary>
    /// <param name="name">Name of the folder; null for the first of <c>train</c>, <c>train2</c>, <c>train3</c>, ... that does not exist.</param>
    /// <param name="root">The folder in which it is created; it is created too if it does not exist.</param>
    /// <param name="existOk">Whether the folder may exist. Its files are then replaced as they are written, and <c>results.csv</c> is continued.</param>
    /// <returns>The folder.</returns>
    /// <exception cref="ArgumentException">The name is not the name of a folder.</exception>
    /// <exception cref="IOException">The folder exists, cannot be created, or cannot be written.</exception>
    public static RunFolder Create(string? name = null, string root = "runs", bool existOk = false)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(root);
        if (name is not null && (string.IsNullOrWhiteSpace(name) || name is "." or ".." || name.AsSpan().ContainsAny("/\\") || name.AsSpan().ContainsAny(Path.GetInvalidFileNameChars())))
            throw new ArgumentException($"'{MessageText.Printable(name)}' is not the name of a folder. It must not be empty and not contain separators: it is the name of a folder and not a path.", nameof(name));
        if (name is not null)
            return TryCreate(name, existOk) ?? throw new IOException($"The run folder '{Path.Combine(root, name)}' exists. Choose another name, remove the folder, or allow an existing one.");
        for (int number = 1; ; number++)
        {
            if (TryCreate(number == 1 ? DefaultName : FormattableString.Invariant($"{DefaultName}{number}"), mayExist: false) is { } folder)
                return folder;
        }

        RunFolder? TryCreate(string candidate, bool mayExist)
        {
            string path = Path.GetFullPath(Path.Combine(root, candidate));
            if (!mayExist && Path.Exists(path))
                return null;
            try
            {
                Directory.CreateDirectory(Path.Combine(path, "weights"));
                var folder = new RunFolder(path);
                if (mayExist && Path.Exists(folder.ResultsPath))
                {
                    AtomicFile.CheckWritable(folder.ResultsPath, $"'{folder.ResultsPath}'");
                    return folder;
                }
                // Of several processes that found the name free, one succeeds in creating the file.
                using var results = new FileStream(folder.ResultsPath, FileMode.CreateNew);
                results.Write(Encoding.UTF8.GetBytes(ResultsHeader + "\n"));
                return folder;
            }
            catch (IOException) when (!mayExist && Path.Exists(Path.Combine(path, "results.csv")))
            {
                return null;
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                throw new IOException($"The run folder '{path}' cannot be written: {error.Message.TrimEnd('.')}. Choose a folder in which you may create files.", error);
            }
        }
    }

    /// <summary>Gets the path for the best weights, <c>weights/best</c> and the extension.</summary>
    /// <param name="extension">The extension, such as ".pth" or ".safetensors".</param>
    public string BestWeightsPath(string extension = ".safetensors") => File(Path.Combine("weights", "best" + extension));

    /// <summary>Gets the path for the latest weights or checkpoint, <c>weights/last</c> and the extension.</summary>
    /// <param name="extension">The extension, such as ".checkpoint", ".pth" or ".safetensors".</param>
    public string LastWeightsPath(string extension = ".safetensors") => File(Path.Combine("weights", "last" + extension));

    /// <summary>Writes the settings to <c>args.json</c>.</summary>
    /// <param name="settings">A dictionary, a record or another object that System.Text.Json can write.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void WriteArguments(object settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        AtomicFile.Write(ArgumentsPath, stream => JsonSerializer.Serialize(stream, settings, settings.GetType(), JsonOptions));
    }

    /// <summary>Adds an epoch to <c>results.csv</c> and to TensorBoard's files. Call it for each <see cref="TrainingProgress.EpochResult"/> that the progress callback receives.</summary>
    /// <param name="result">The result of the epoch.</param>
    /// <exception cref="InvalidDataException"><c>results.csv</c> is not such a file.</exception>
    /// <exception cref="IOException">A file cannot be read or written.</exception>
    /// <remarks>
    /// Lines of this epoch and of later ones, which a run that resumes from a checkpoint has written before, are removed from <c>results.csv</c>. The column <c>time</c> is the
    /// sum of the times of training and validation so far, in seconds. Values that are not known are empty.
    /// </remarks>
    public void Add(EpochResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        string[] earlier = [.. ReadResults().TakeWhile(line => Field(line, 0) < result.Epoch)];
        double time = (earlier.Length == 0 ? 0 : Field(earlier[^1], 1)) + SecondsOf(result);
        WriteResults(HeaderOf(result), [.. earlier, Line(result, time)]);
        AddScalars(result);
    }

    /// <summary>Adds the epochs of a run that <c>results.csv</c> and TensorBoard's files lack. A process that is killed after it has written a checkpoint, and before it has called <see cref="Add"/>, leaves such an epoch.</summary>
    /// <param name="history">The results of all epochs of the run, as <see cref="RepVggTransformer.History"/> has them.</param>
    /// <exception cref="InvalidDataException"><c>results.csv</c> is not such a file.</exception>
    /// <exception cref="IOException">A file cannot be read or written.</exception>
    public void AddMissing(IReadOnlyList<EpochResult> history)
    {
        ArgumentNullException.ThrowIfNull(history);
        var known = ReadResults().Select(line => (int)Field(line, 0)).ToHashSet();
        EpochResult[] missing = [.. history.Where(result => !known.Contains(result.Epoch))];
        if (missing.Length == 0)
            return;
        double time = 0;
        WriteResults(HeaderOf(history[0]), [.. history.Select(result => Line(result, time += SecondsOf(result)))]);
        foreach (var result in missing)
            AddScalars(result);
    }

    /// <summary>Writes <c>metrics.json</c> and <c>predictions.csv</c>.</summary>
    /// <param name="evaluation">The evaluation of the model.</param>
    /// <exception cref="IOException">A file cannot be written.</exception>
    public void WriteEvaluation(ClassificationReport evaluation)
    {
        ArgumentNullException.ThrowIfNull(evaluation);
        evaluation.WriteMetrics(MetricsPath);
        evaluation.WritePredictions(PredictionsPath);
    }

    private static double SecondsOf(EpochResult result) => (result.TrainingTime + result.ValidationTime).TotalSeconds;

    private static string Line(EpochResult result, double time) => string.Create(
        CultureInfo.InvariantCulture,
        $"{result.Epoch},{time:g6},{result.TrainingLoss:g6},{result.ValidationAccuracy:g6},{result.ValidationTop5Accuracy:g6},{result.ValidationLoss:g6},{result.LearningRate:g6}") + (result.TrainingMeanIoU is null ? "" : FormattableString.Invariant($",{result.ValidationMeanIoU:g6}"));

    private static string HeaderOf(EpochResult result) => result.TrainingMeanIoU is null ? ResultsHeader : SegmentationHeader;

    private void WriteResults(string header, string[] lines) =>
        AtomicFile.Write(ResultsPath, stream => stream.Write(Encoding.UTF8.GetBytes(string.Join("\n", [header, .. lines, ""]))));

    private void AddScalars(EpochResult result)
    {
        (string Tag, double Value)[] training = [("loss", result.TrainingLoss), ("accuracy", result.TrainingAccuracy), ("learning_rate", result.LearningRate)];
        _training.Add(result.Epoch, result.TrainingMeanIoU is { } meanIoU ? [.. training, ("mean_iou", meanIoU)] : training);
        (string Tag, double? Value)[] validation = [("loss", result.ValidationLoss), ("accuracy", result.ValidationAccuracy), ("accuracy_top5", result.ValidationTop5Accuracy), ("mean_iou", result.ValidationMeanIoU)];
        var known = validation.Where(scalar => scalar.Value is not null).Select(scalar => (scalar.Tag, scalar.Value!.Value)).ToList();
        if (known.Count > 0)
            _validation.Add(result.Epoch, known);
    }

    private string[] ReadResults()
    {
        if (!Path.Exists(ResultsPath))
            return [];
        string[] lines = System.IO.File.ReadAllLines(ResultsPath);
        return lines is [ResultsHeader or SegmentationHeader, ..] ? lines[1..] : throw Damaged("its first line is not the list of its columns");
    }

    private double Field(string line, int index) =>
        double.TryParse(line.Split(',').ElementAtOrDefault(index), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) ? value : throw Damaged($"it has the line '{MessageText.Printable(line)}'");

    private InvalidDataException Damaged(string reason) => new($"'{ResultsPath}' is not the results of a training run: {reason}. Remove the file, or choose another run folder.");

    private string File(string name) => Path.Combine(DirectoryPath, name);
}

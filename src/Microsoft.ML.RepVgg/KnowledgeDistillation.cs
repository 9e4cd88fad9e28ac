using System.IO.Compression;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Interop;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Training;
using RepVgg.Weights;
using RepVgg.Weights.Files;

namespace Microsoft.ML.RepVgg;

/// <summary>Knowledge distillation: a trained network, the teacher, gives class probabilities of every training image, from which the network learns besides the labels. The teacher is usually larger.</summary>
/// <remarks>
/// Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2. With the logits z of the network, v of the teacher, the temperature T and the weight w, the loss is
/// (1 - w) CE(targets, softmax(z)) + w T^2 KL(softmax(v / T) || softmax(z / T)), where the targets include label smoothing and mixing. The weights of classes and rows apply to both terms. The teacher sees the augmented images of the network, in their size, with
/// its own normalisation, and is computed on the CPU, fused, in evaluation mode. The reported losses are those of the targets alone.
/// </remarks>
public sealed record KnowledgeDistillation
{
    /// <summary>
    /// The file of the teacher: an ML.NET model with a <see cref="RepVggTransformer"/>, or a network in any format that <see cref="WeightsFile.Read(string, WeightsFileOptions)"/> reads, such as ONNX, safetensors, PyTorch's .pth,
    /// or a training checkpoint.
    /// </summary>
    public required string TeacherPath { get; init; }

    /// <summary>What a file of weights does not say, such as the normalisation; null for nothing. ML.NET models say everything.</summary>
    public WeightsFileOptions? TeacherOptions { get; init; }

    /// <summary>
    /// Names of the teacher's classes, in the order of its logits; null for those of the file, which ML.NET models and the ONNX files of this library contain. Every class of the training data must be one
    /// of them, by the same name. Other classes of the teacher are left out.
    /// </summary>
    public IReadOnlyList<string>? TeacherClasses { get; init; }

    /// <summary>The temperature, which divides the logits of both networks, from 0.01 to 1000. Higher ones give more weight to the less probable classes.</summary>
    public float Temperature { get; init; } = 4;

    /// <summary>Share of the teacher in the loss, more than 0 and at most 1. With 1, the labels have no influence.</summary>
    public float Weight { get; init; } = 0.5f;

    /// <exception cref="ArgumentException">An option is out of range.</exception>
    internal void Check()
    {
        if (string.IsNullOrWhiteSpace(TeacherPath))
            throw new ArgumentException("Distillation.TeacherPath is empty; it must be the path of the teacher's file.");
        if (!(Temperature is >= Distillation.MinimumTemperature and <= Distillation.MaximumTemperature))
            throw new ArgumentException(FormattableString.Invariant($"Distillation.Temperature is {Temperature}; it must be from {Distillation.MinimumTemperature} to {Distillation.MaximumTemperature}."));
        if (!(Weight is > 0 and <= 1))
            throw new ArgumentException(FormattableString.Invariant($"Distillation.Weight is {Weight}; it must be more than 0 and at most 1. Leave Distillation out to train without a teacher."));
        TeacherOptions?.Check();
    }

    /// <summary>Reads the teacher for images and classes.</summary>
    /// <param name="classes">Names of the classes of the training data, in the order of their keys.</param>
    /// <param name="channels">Number of channels of the training images.</param>
    /// <param name="height">Their height in pixels.</param>
    /// <param name="width">Their width in pixels.</param>
    /// <param name="threads">Maximum number of threads of the teacher; 0 for all cores.</param>
    /// <exception cref="ArgumentException">The teacher does not fit the classes or the images.</exception>
    /// <exception cref="InvalidDataException">The file is damaged, or contains no network that can be used.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    internal Distillation Resolve(IReadOnlyList<string> classes, int channels, int height, int width, int threads)
    {
        var (network, names) = IsModel(TeacherPath) ? ReadModel() : ReadWeights();
        try
        {
            if (network.Output != NetworkOutput.Logits)
                throw new ArgumentException("The network has no classifier.");
            if (names.Count == 0)
                throw new ArgumentException($"The file does not contain the names of its {network.Classes} classes. Give them, in the order of its logits, as Distillation.TeacherClasses.");
            var distillation = new Distillation(Distillation.SelectClasses(network, names, classes), Temperature, Weight, threads);
            distillation.Validate(channels, height, width, classes.Count);
            return distillation;
        }
        catch (ArgumentException error)
        {
            throw new ArgumentException($"Options.Distillation: the teacher '{TeacherPath}' cannot be used. {error.Message}", error);
        }
    }

    private (DeployNetwork Network, IReadOnlyList<string> Names) ReadModel()
    {
        var classifiers = new List<(DeployNetwork Network, IReadOnlyList<string> Names)>();
        StockChainBuilder.CheckTemporaryFolder();
        using var file = InputFile.Open(TeacherPath);
        try
        {
            var model = SavedModel.Load(file, copy => new MLContext().Model.Load(copy, out _), (TeacherOptions ?? new WeightsFileOptions()).Limits, (saved, label) =>
            {
                if (label is { } column && saved.Network is { } network)
                    classifiers.Add((network.Dequantize(), TeacherClasses ?? KeyValues.Read(column, network.Classes)));
                return new TransformerChain<ITransformer>();
            });
            (model as IDisposable)?.Dispose();
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"Options.Distillation: the teacher '{TeacherPath}' cannot be loaded. {error.Message}", error);
        }
        return classifiers is [var classifier] ? classifier
            : throw new InvalidDataException($"Options.Distillation: the model '{TeacherPath}' has {classifiers.Count} classifiers of this library; a teacher must have one.");
    }

    private (DeployNetwork Network, IReadOnlyList<string> Names) ReadWeights()
    {
        var weights = WeightsFile.Read(TeacherPath, TeacherOptions);
        try
        {
            return (weights.ToDeployNetwork(), TeacherClasses ?? weights.Describe().ClassLabels);
        }
        catch (Exception error) when (error is ArgumentException or NotSupportedException or InvalidDataException)
        {
            throw new InvalidDataException($"Options.Distillation: the teacher '{TeacherPath}' cannot be used: {MessageText.Reason(error)}.", error);
        }
    }

    /// <summary>Whether a file is a zip file with the parts of an ML.NET model. PyTorch's files are zip files, too.</summary>
    private static bool IsModel(string path)
    {
        using var file = InputFile.Open(path);
        try
        {
            using var zip = new ZipArchive(file, ZipArchiveMode.Read);
            return zip.Entries.Any(entry => entry.FullName.StartsWith("TransformerChain", StringComparison.Ordinal) || entry.FullName.StartsWith("TrainingInfo", StringComparison.Ordinal));
        }
        catch (InvalidDataException)
        {
            return false;
        }
    }
}

using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;

namespace Microsoft.ML.RepVgg;

/// <summary>Pretrained weights, read from a file, from which training starts.</summary>
internal sealed class PretrainedWeights
{
    private const int SmallestImageNetSize = 224;

    private readonly string _path;
    private readonly LoadedWeights _weights;
    private readonly Action<string>? _warn;

    private PretrainedWeights(string path, LoadedWeights weights, Action<string>? warn) => (_path, _weights, _warn) = (path, weights, warn);

    /// <summary>The architecture of the weights.</summary>
    public RepVggArchitecture Architecture => _weights.Architecture;

    /// <summary>Height and width in pixels of the images that the weights were trained on; null if the file does not contain them.</summary>
    public (int Height, int Width)? ImageSize => _weights.Description is null && _weights.Options.Height is null
        ? null
        : (_weights.Options.Height ?? _weights.Description!.ImageHeight, _weights.Options.Width ?? _weights.Description!.ImageWidth);

    /// <summary>The input normalization that the weights were trained with: the one of the options or the file, or ImageNet's for the networks of the RepVGG paper; null if it is unknown.</summary>
    public Normalization? Normalization => KnownNormalization ?? (IsOfThePaper ? global::RepVgg.Architectures.Normalization.ImageNet : null);

    private Normalization? KnownNormalization => _weights.Options.Normalization ?? _weights.Description?.Normalization;

    private bool IsOfThePaper => RepVggVariants.All.Any(
        variant => variant.DefaultImageSize >= SmallestImageNetSize && variant == Architecture with { BatchNormEpsilon = variant.BatchNormEpsilon });

    /// <summary>Reads a weights file of any supported format.</summary>
    /// <param name="path">Path of the file; null for none.</param>
    /// <param name="trainingForm">The training form that the user specified; null for none.</param>
    /// <param name="options">What the file does not say; null for nothing.</param>
    /// <returns>The weights; null if <paramref name="path"/> is null.</returns>
    /// <exception cref="ArgumentException">The file holds the deploy form, or an option contradicts it.</exception>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static PretrainedWeights? Read(string? path, TrainingForm? trainingForm = null, WeightsFileOptions? options = null)
    {
        if (path is null)
            return null;
        options ??= new WeightsFileOptions();
        // Some forms have the names of another one, so the file does not tell them. Log writes the warnings: for training, not
        // every assumption of the file's reader is used.
        var form = options.TrainingForm ?? (trainingForm is { } given && !TrainingForms.IsToldByNames(given) ? given : null);
        var weights = WeightsFile.Read(path, options with { TrainingForm = form, Warn = static _ => { } });
        if (weights.Form == WeightsForm.Deploy)
        {
            throw new ArgumentException(
                $"Options.PretrainedWeightsPath: '{path}' holds the deploy form of {weights.Architecture.Name}. Its branches and batch norms are fused, "
                + "so it can be scored but not trained on. Give the training form, the file that it was fused from (with names such as 'stage1.0.rbr_dense.conv.weight').");
        }
        var stored = weights.Architecture.TrainingForm;
        if (trainingForm is { } wanted && wanted != stored && StateLayout.Fits(weights.State, StateLayout.Training(weights.Architecture with { TrainingForm = wanted }, weights.Classes)))
        {
            throw new ArgumentException(
                $"Options.PretrainedWeightsPath: '{path}' holds the training form {stored}, but {wanted} is to be trained. The names of their weights are the same, but they are different networks. "
                + $"Set Options.TrainingForm to {stored}, or give weights of the form {wanted}.");
        }
        return new PretrainedWeights(path, weights, options.Warn);
    }

    /// <summary>Gets the architecture to train.</summary>
    /// <param name="given">The architecture that the user specified, which goes before that of the file but not before the options of the file; null for none.</param>
    /// <exception cref="ArgumentException">The number of strides in the options is not the number of stages.</exception>
    public RepVggArchitecture ArchitectureToTrain(RepVggArchitecture? given)
    {
        if (given is null)
            return Architecture;
        var (epsilon, strides) = (_weights.Options.BatchNormEpsilon, _weights.Options.Strides);
        if (strides is not null && strides.Count != given.Stages.Length)
            throw new ArgumentException($"Options.PretrainedWeightsOptions: {strides.Count} strides were given for the {given.Stages.Length} stages of {given.Name}.");
        return given with
        {
            BatchNormEpsilon = epsilon ?? given.BatchNormEpsilon,
            Stages = strides is null ? given.Stages : [.. given.Stages.Zip(strides, (stage, stride) => stage with { Stride = stride })],
        };
    }

    /// <summary>Pads the architecture to train for the size of the training images, if the weights come from Keras, whose padding depends on it.</summary>
    public RepVggArchitecture PaddedFor(RepVggArchitecture architecture, int height, int width) => _weights.PaddedFor(architecture, height, width);

    /// <summary>Passes on what was assumed because neither the file nor the options say it, and where the network to train differs from that of the file.</summary>
    /// <param name="trained">The architecture to train.</param>
    /// <param name="isGiven">Whether the user specified the architecture.</param>
    /// <param name="normalization">The normalization that the user specified for training, or null.</param>
    /// <param name="log">Receives the texts, and whether each is a warning.</param>
    public void Log(RepVggArchitecture trained, bool isGiven, Normalization? normalization, Action<string, bool> log)
    {
        string file = $"The weights in '{_path}'";
        foreach (var assumption in _weights.Assumptions)
        {
            if (!isGiven && assumption.Kind is WeightsAssumptionKind.BatchNormEpsilon or WeightsAssumptionKind.Strides)
                log($"{file} are taken to have {assumption}.", false);
        }
        if (isGiven && _weights.Description is not null)
        {
            if (trained.BatchNormEpsilon != Architecture.BatchNormEpsilon)
                log($"{file} were trained with a batch norm epsilon of {Epsilon(Architecture)}; the architecture that was given has {Epsilon(trained)}, which is used.", true);
            if (!Strides(trained).SequenceEqual(Strides(Architecture)))
                log($"{file} were trained with the strides {string.Join(", ", Strides(Architecture))}; the architecture that was given has {string.Join(", ", Strides(trained))}, which are used.", true);
        }
        if (normalization is null && KnownNormalization is null)
        {
            string used = IsOfThePaper ? $"that of ImageNet is used: {Normalization}" : "that of the training images is used";
            string warning = $"{file} do not say with which normalisation they were trained; {used}. If they were trained with another one, give Options.Normalization.";
            log(warning, true);
            _warn?.Invoke(warning);
        }

        static string Epsilon(RepVggArchitecture architecture) => architecture.BatchNormEpsilon.ToString("g", CultureInfo.InvariantCulture);

        static IEnumerable<int> Strides(RepVggArchitecture architecture) => architecture.Stages.Select(stage => stage.Stride);
    }

    /// <summary>Checks that the images have the number of channels that the weights require.</summary>
    /// <exception cref="ArgumentException">The numbers of channels differ.</exception>
    public void CheckChannels(string column, int channels)
    {
        if (channels != Architecture.InputChannels)
        {
            throw new ArgumentException(
                $"The feature column '{column}' has {channels} channel(s), but the weights in '{_path}' were trained on {Architecture.InputChannels}. "
                + "Use images with the same number of channels (Options.ImageChannels for image columns), or other weights.");
        }
    }

    /// <summary>Says what to do if the weights do not fit an architecture.</summary>
    private string Advice(RepVggArchitecture trained)
    {
        if (trained.TrainingForm != Architecture.TrainingForm)
            return $"Set Options.TrainingForm to {Architecture.TrainingForm}, the form of the file, or give weights of the form {trained.TrainingForm}.";
        string branches = trained.TrainingForm == TrainingForm.MobileOne && trained.ConvolutionBranches != Architecture.ConvolutionBranches
            ? $"The blocks of the file have {Architecture.ConvolutionBranches} 3x3 branches, those of the architecture {trained.ConvolutionBranches} (ConvolutionBranches). "
            : "";
        return branches + "Leave Options.Architecture out to have it taken from the file.";
    }

    /// <summary>Copies the weights into a network.</summary>
    /// <returns>A message for the log that describes what was imported.</returns>
    /// <exception cref="ArgumentException">Tensors are missing, unexpected or of the wrong shape; the message names the first ones.</exception>
    public string ImportInto(TrainingNetwork network)
    {
        IReadOnlyList<string> fresh;
        try
        {
            fresh = network.ImportPretrained(_weights.State);
        }
        catch (ArgumentException error)
        {
            throw new ArgumentException($"Options.PretrainedWeightsPath: '{_path}', which holds {Architecture.Name}: {error.Message} {Advice(network.Architecture)}", error);
        }
        string start = $"Training starts from the weights of {Architecture.Name} in '{_path}'";
        if (fresh.Count == 0)
            return $"{start}, the classifier for {network.Classes} classes included.";
        return _weights.Classes == 0
            ? $"{start}; they have no classifier, so that for {network.Classes} classes starts from random weights ({string.Join(", ", fresh)})."
            : $"{start}; they are for {_weights.Classes} classes and the data has {network.Classes}, so the classifier starts from random weights ({string.Join(", ", fresh)}).";
    }
}

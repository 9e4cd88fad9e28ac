using System.Globalization;
using RepVgg.Architectures;

namespace RepVgg.Weights;

/// <summary>What a weights file does not say about its network, and the caller knows.</summary>
/// <remarks>
/// Files that this library writes say everything. A PyTorch state_dict has names and shapes only: it does not say the epsilon of its
/// batch norms, most strides, the normalization of the pixels and the image size. Where neither the file nor the caller says a value,
/// a common one is assumed and reported, see <see cref="WeightsAssumption"/>. A <see cref="TrainingForm"/>, an epsilon or strides that
/// contradict the file are an error.
/// </remarks>
public sealed record WeightsFileOptions
{
    /// <summary>
    /// The training form of training weights; null for that of the file, or that which the names tell. Without it, weights of <see cref="TrainingForm.ReluInBranches"/> whose file does
    /// not say their form are read as <see cref="TrainingForm.RepVgg"/> and those of <see cref="TrainingForm.Csla"/> as <see cref="TrainingForm.HyperSearch"/>, which have the same
    /// names; those of <see cref="TrainingForm.IdentityWithoutNorm"/> are refused if a stage has several blocks.
    /// </summary>
    public TrainingForm? TrainingForm { get; init; }

    /// <summary>The value that every batch norm adds to the variance, more than 0; null for that of the file, or 1e-5, PyTorch's default.</summary>
    public float? BatchNormEpsilon { get; init; }

    /// <summary>The stride of every stage, 1 or 2, the stem included: five values for the networks of the paper. Null for those of the file, or those of the variant that has these names and shapes.</summary>
    public IReadOnlyList<int>? Strides { get; init; }

    /// <summary>
    /// The number of blocks of every stage, at least 1, the stem included, which has one: 1, 2, 4, 14, 1 for RepVGG-A0. Null for those of the file. Only weights of Keras 3 (.weights.h5) of networks with stages of equal width do not tell them,
    /// unless the network is a variant of the paper.
    /// </summary>
    public IReadOnlyList<int>? Depths { get; init; }

    /// <summary>Input height in pixels. Null is <see cref="ImageWidth"/>; if both are null, the height of the file, or the architecture's default.</summary>
    public int? ImageHeight { get; init; }

    /// <summary>Input width in pixels. Null is <see cref="ImageHeight"/>; if both are null, the width of the file, or the architecture's default.</summary>
    public int? ImageWidth { get; init; }

    /// <summary>
    /// Normalization of the input, which replaces that of a file's description. Null for that of the file, or
    /// <see cref="Normalization.ImageNet"/> for three channels. It must not contradict the operations of an ONNX graph.
    /// </summary>
    public Normalization? Normalization { get; init; }

    /// <summary>
    /// Key of the weights in a PyTorch checkpoint that holds several, such as <c>ema</c> or <c>state_dict_ema</c>; null for the plain weights, such as
    /// those of <c>state_dict</c> or <c>model</c>. Keys of nested dictionaries are joined by dots: <c>checkpoint.ema</c>. In any format but ONNX, it can also be a
    /// prefix of names, if the weights of several networks are under different prefixes. An entry that the file does not have is an error.
    /// </summary>
    public string? Entry { get; init; }

    /// <summary>Name of the output of an ONNX graph that has several; null for the one that ends in the classifier. Other formats have no outputs, so that a name is an error.</summary>
    public string? Output { get; init; }

    /// <summary>Limits on the size of the network's images and on the memory that they need.</summary>
    public WeightsFileLimits Limits { get; init; } = new();

    /// <summary>Called with every warning: an assumption that makes the results wrong if it does not hold. Null writes warnings with <see cref="System.Diagnostics.Trace.TraceWarning(string)"/>.</summary>
    public Action<string>? Warn { get; init; }

    /// <summary>Height of the images; null if neither side is given.</summary>
    internal int? Height => ImageHeight ?? ImageWidth;

    /// <summary>Width of the images; null if neither side is given.</summary>
    internal int? Width => ImageWidth ?? ImageHeight;

    /// <summary>Throws an exception if an option has a value that is invalid for every file.</summary>
    /// <exception cref="ArgumentException">An option has an invalid value.</exception>
    internal void Check()
    {
        if (TrainingForm is { } form && !Enum.IsDefined(form))
            throw new ArgumentException($"WeightsFileOptions.TrainingForm is {(int)form}, which is not a value of TrainingForm.");
        if (BatchNormEpsilon is { } epsilon && !(epsilon > 0 && float.IsFinite(epsilon)))
            throw new ArgumentException(string.Create(CultureInfo.InvariantCulture, $"WeightsFileOptions.BatchNormEpsilon is {epsilon}; it must be a finite number above 0."));
        if (Strides is not null && (Strides.Count == 0 || Strides.Any(stride => stride is not (1 or 2))))
            throw new ArgumentException($"WeightsFileOptions.Strides is [{string.Join(", ", Strides)}]; it must have one stride per stage, each 1 or 2.");
        if (Depths is not null && (Depths.Count == 0 || Depths[0] != 1 || Depths.Any(depth => depth < 1)))
            throw new ArgumentException($"WeightsFileOptions.Depths is [{string.Join(", ", Depths)}]; it must have the number of blocks of every stage, 1 for the stem.");
        if (ImageHeight is < 1 || ImageWidth is < 1)
            throw new ArgumentException($"The image size of WeightsFileOptions is {Height} x {Width}; both must be 1 or more.");
        if (Height is { } height && Width is { } width)
            ArchitectureValidation.CheckImageSize(height, width);
        if (Normalization is { } normalization
            && (normalization.Mean.IsDefault || normalization.Scale.IsDefault || normalization.Mean.Length != normalization.Scale.Length || !normalization.Mean.Concat(normalization.Scale).All(float.IsFinite)))
        {
            throw new ArgumentException("WeightsFileOptions.Normalization must have one finite mean and one finite scale per channel.");
        }
        ArgumentNullException.ThrowIfNull(Limits);
        Limits.Check();
        if (Entry is not null && string.IsNullOrWhiteSpace(Entry))
            throw new ArgumentException("WeightsFileOptions.Entry is empty; it must be a key, or null.");
        if (Output is not null && string.IsNullOrWhiteSpace(Output))
            throw new ArgumentException("WeightsFileOptions.Output is empty; it must be the name of an output, or null.");
    }

    /// <summary>Reports a warning about a file.</summary>
    internal void Report(string path, WeightsAssumption assumption)
    {
        if (!assumption.IsWarning)
            return;
        string text = $"'{path}': {assumption}. If the network was trained with another normalisation, give it as the option Normalization.";
        if (Warn is { } warn)
            warn(text);
        else
            System.Diagnostics.Trace.TraceWarning(text);
    }
}

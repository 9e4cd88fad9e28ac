using System.Collections.Immutable;
using System.Text.Json;
using RepVgg.Runtime;

namespace RepVgg.Architectures;

/// <summary>The architecture of a PSPNet, a network for semantic segmentation: a RepVGG backbone, pyramid pooling, and one prediction per pixel.</summary>
/// <remarks>
/// The last map of the backbone is averaged over bins of several sizes. Each grid of averages is reduced by a 1x1 convolution with batch norm and ReLU and resized to the size of the map. All are
/// concatenated with the map and reduced by a 3x3 convolution with batch norm and ReLU. A 1x1 convolution gives the logits, which are resized to the size of the image. In training, an auxiliary head predicts from the stage before the last.
/// Sources: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017; RepVGG, section 4.3, and its authors' example.
/// </remarks>
public sealed record PspNetArchitecture
{
    private const int MaximumBins = 8, MaximumBin = 64, MaximumWidth = 1 << 14;

    /// <summary>Largest number of classes: labels are bytes, and one value is for pixels without a label.</summary>
    public const int MaximumClasses = byte.MaxValue;

    /// <summary>The backbone. Its <see cref="RepVggArchitecture.OutputStride"/> is 8 in the paper.</summary>
    public required RepVggArchitecture Backbone { get; init; }

    /// <summary>Number of classes, 1 to 255.</summary>
    public required int Classes { get; init; }

    /// <summary>Rows and columns of each grid of averages, in ascending order.</summary>
    public ImmutableArray<int> Bins { get; init; } = [1, 2, 3, 6];

    /// <summary>Channels to which each grid of averages is reduced; null for those of the backbone divided by the number of grids, as in the paper.</summary>
    public int? BranchWidth { get; init; }

    /// <summary>Channels after the 3x3 convolution of the head.</summary>
    public int HeadWidth { get; init; } = 512;

    /// <summary>Channels of the auxiliary head, which is used only in training; 0 for none.</summary>
    public int AuxiliaryWidth { get; init; } = 256;

    /// <summary>Whether maps are resized so that the middles of their corner pixels coincide, as in the paper; it suits images whose sides are a multiple of the output stride plus 1. If false, their edges coincide.</summary>
    public bool AlignCorners { get; init; } = true;

    /// <summary>Creates the architecture for a backbone, with stride 8 unless the backbone has an output stride.</summary>
    /// <param name="backbone">The backbone, such as <c>RepVggVariants.A0</c>. Its auxiliary classifiers are left out.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The architecture of the paper.</returns>
    public static PspNetArchitecture Create(RepVggArchitecture backbone, int classes)
    {
        ArgumentNullException.ThrowIfNull(backbone);
        return new PspNetArchitecture
        {
            Backbone = backbone with { OutputStride = backbone.OutputStride ?? Math.Min(8, backbone.DesignStride), Stages = [.. backbone.Stages.Select(stage => stage with { AuxiliaryHead = false })] },
            Classes = classes,
        };
    }

    /// <summary>Channels to which each grid of averages is reduced.</summary>
    internal int ActualBranchWidth => BranchWidth ?? Math.Max(1, Backbone.FeatureWidth / Bins.Length);

    /// <summary>Channels of the concatenated maps.</summary>
    internal int ConcatenatedWidth => Backbone.FeatureWidth + Bins.Length * ActualBranchWidth;

    /// <summary>Index of the stage whose map the auxiliary head reads: the one before the last.</summary>
    internal int AuxiliaryStage => Backbone.Stages.Length - 2;

    /// <summary>The 3x3 convolution of the head.</summary>
    internal BlockSpec HeadBlock => new("cls.0", ConcatenatedWidth, HeadWidth, 1, 1, SqueezeExcitation.None);

    /// <summary>Size of the backbone's last map.</summary>
    internal (int Height, int Width) MapSize(int imageHeight, int imageWidth)
    {
        foreach (var block in Backbone.Blocks)
            (imageHeight, imageWidth) = (ConvolutionSize.OutputOfBlock(imageHeight, block.Stride), ConvolutionSize.OutputOfBlock(imageWidth, block.Stride));
        return (imageHeight, imageWidth);
    }

    /// <summary>Throws an exception if the architecture is invalid.</summary>
    /// <exception cref="ArgumentException">The message lists the problems.</exception>
    public void Validate()
    {
        ArgumentNullException.ThrowIfNull(Backbone);
        Backbone.Validate();
        var problems = new List<string>();
        if (Classes is < 1 or > MaximumClasses)
            problems.Add($"it has {Classes} classes, not 1 to {MaximumClasses}");
        if (Bins.IsDefaultOrEmpty || Bins.Length > MaximumBins || Bins.Any(bin => bin is < 1 or > MaximumBin) || Bins.Zip(Bins.Skip(1)).Any(pair => pair.First >= pair.Second))
            problems.Add($"its bins are [{(Bins.IsDefault ? "" : string.Join(", ", Bins))}], not 1 to {MaximumBins} ascending numbers of 1 to {MaximumBin}");
        if (BranchWidth is < 1 or > MaximumWidth || HeadWidth is < 1 or > MaximumWidth || AuxiliaryWidth is < 0 or > MaximumWidth)
            problems.Add($"its widths are {BranchWidth}, {HeadWidth} and {AuxiliaryWidth}, not at most {MaximumWidth} and at least 1 (0 for the auxiliary head)");
        if (Backbone.Stages.Any(stage => stage.AuxiliaryHead))
            problems.Add("its backbone has auxiliary classifiers");
        if (Backbone.Stages.FirstOrDefault(stage => stage.Name is "ppm" or "cls" or "aux") is { } named)
            problems.Add($"its backbone has a stage named '{named.Name}', which is the name of a head");
        if (problems.Count > 0)
            throw new ArgumentException(MessageText.WithoutControls($"The PSPNet on {Backbone.Name} cannot be built: {string.Join("; ", problems)}."));
    }

    /// <summary>Throws an exception if images of a size do not suit the architecture.</summary>
    /// <exception cref="ArgumentException">The images are too small for the backbone or the pyramid, or too large.</exception>
    public void ValidateImageSize(int height, int width)
    {
        Backbone.ValidateImageSize(height, width);
        var (rows, columns) = MapSize(height, width);
        if (rows < Bins[^1] || columns < Bins[^1])
        {
            int least = (Bins[^1] - 1) * Backbone.TotalStride + 1;
            throw new ArgumentException($"Images of {width}x{height} pixels are too small: the last map of {Backbone.Name} has {columns}x{rows} pixels, fewer than the {Bins[^1]}x{Bins[^1]} bins of the pyramid. Use at least {least}x{least} pixels.");
        }
    }

    /// <summary>Compares two architectures by value.</summary>
    /// <param name="other">The other architecture.</param>
    /// <returns>True if every property is equal.</returns>
    public bool Equals(PspNetArchitecture? other) =>
        other is not null && Backbone == other.Backbone && Classes == other.Classes && Bins.AsSpan().SequenceEqual(other.Bins.AsSpan()) && BranchWidth == other.BranchWidth
        && HeadWidth == other.HeadWidth && AuxiliaryWidth == other.AuxiliaryWidth && AlignCorners == other.AlignCorners;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Backbone, Classes, Bins.Length, BranchWidth, HeadWidth, AuxiliaryWidth, AlignCorners);

    /// <summary>Writes the architecture as one JSON object.</summary>
    internal void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WritePropertyName("backbone");
        ArchitectureJson.Write(writer, Backbone);
        writer.WriteNumber("classes", Classes);
        writer.WriteStartArray("bins");
        foreach (int bin in Bins)
            writer.WriteNumberValue(bin);
        writer.WriteEndArray();
        writer.WriteNumber("branch_width", ActualBranchWidth);
        writer.WriteNumber("head_width", HeadWidth);
        writer.WriteNumber("auxiliary_width", AuxiliaryWidth);
        writer.WriteBoolean("align_corners", AlignCorners);
        writer.WriteEndObject();
    }

    /// <summary>Reads and validates an architecture that <see cref="Write"/> wrote.</summary>
    /// <exception cref="FormatException">A property is missing or has the wrong type.</exception>
    /// <exception cref="ArgumentException">The architecture is invalid.</exception>
    internal static PspNetArchitecture Read(JsonElement json)
    {
        try
        {
            var architecture = new PspNetArchitecture
            {
                Backbone = ArchitectureJson.Read(json.GetProperty("backbone")),
                Classes = json.GetProperty("classes").GetInt32(),
                Bins = [.. json.GetProperty("bins").EnumerateArray().Take(MaximumBins + 1).Select(bin => bin.GetInt32())],
                BranchWidth = json.GetProperty("branch_width").GetInt32(),
                HeadWidth = json.GetProperty("head_width").GetInt32(),
                AuxiliaryWidth = json.GetProperty("auxiliary_width").GetInt32(),
                AlignCorners = json.GetProperty("align_corners").GetBoolean(),
            };
            architecture.Validate();
            return architecture;
        }
        catch (Exception error) when (error is InvalidOperationException or KeyNotFoundException)
        {
            throw new FormatException($"The description of the PSPNet is damaged: {error.Message}", error);
        }
    }
}

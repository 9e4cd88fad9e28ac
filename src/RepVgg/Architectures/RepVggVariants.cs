using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>The named variants: those of the RepVGG paper, D2se, RepVGGplus, RepOpt-VGG, and small variants for small images.</summary>
/// <remarks>
/// Sources: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021, tables 2 and 3 (A and B series,
/// groups); the authors' code (D2se and RepVGGplus); Ding et al., "Re-parameterizing Your Optimizers rather than Architectures", ICLR 2023
/// (RepOpt-VGG). The S series was designed for this library, for images of 28
/// to 64 pixels; the stems of S0, S1, S2 and S4 have stride 1. A variant for images of another number of channels is <c>variant with { InputChannels = 1 }</c>.
/// </remarks>
public static class RepVggVariants
{
    private const string Prefix = "RepVGG-";

    private static readonly int[] _depthsA = [2, 4, 14, 1];
    private static readonly int[] _depthsB = [4, 6, 16, 1];
    private static readonly int[] _depthsD = [8, 14, 24, 1];

    /// <summary>RepVGG-S0: for grey images of 28x28 pixels; the smallest variant, for quick experiments.</summary>
    public static RepVggArchitecture S0 { get; } = Small("S0", 28, 1, [new("stage0", 16, 1, 1), new("stage1", 24, 1, 2), new("stage2", 48, 2, 2), new("stage3", 96, 1, 1)]);

    /// <summary>RepVGG-S1: for grey images of 28x28 pixels.</summary>
    public static RepVggArchitecture S1 { get; } = Small("S1", 28, 1, [new("stage0", 24, 1, 1), new("stage1", 32, 2, 2), new("stage2", 64, 4, 2), new("stage3", 128, 2, 1)]);

    /// <summary>RepVGG-S2: for colour images of 32x32 to 64x64 pixels.</summary>
    public static RepVggArchitecture S2 { get; } = Small("S2", 64, 3, [new("stage0", 32, 1, 1), new("stage1", 48, 2, 2), new("stage2", 96, 4, 2), new("stage3", 160, 2, 2), new("stage4", 192, 1, 1)]);

    /// <summary>RepVGG-S3: for colour images of 48x48 to 64x64 pixels. It has more parameters than S2 and less work, because its stem has stride 2: it is trained about 2.5 times as fast.</summary>
    public static RepVggArchitecture S3 { get; } = Small("S3", 64, 3, [new("stage0", 32, 1, 2), new("stage1", 64, 2, 2), new("stage2", 128, 4, 2), new("stage3", 256, 2, 2)]);

    /// <summary>RepVGG-S4: for grey images of 28x28 pixels, with more accuracy and about twice the work of S1: its wide stages have the small maps.</summary>
    public static RepVggArchitecture S4 { get; } = Small("S4", 28, 1, [new("stage0", 32, 1, 1), new("stage1", 64, 3, 2), new("stage2", 128, 4, 2)]);

    /// <summary>RepVGG-A0.</summary>
    public static RepVggArchitecture A0 { get; } = Paper("A0", _depthsA, 0.75, 2.5);

    /// <summary>RepVGG-A1.</summary>
    public static RepVggArchitecture A1 { get; } = Paper("A1", _depthsA, 1, 2.5);

    /// <summary>RepVGG-A2.</summary>
    public static RepVggArchitecture A2 { get; } = Paper("A2", _depthsA, 1.5, 2.75);

    /// <summary>RepVGG-B0.</summary>
    public static RepVggArchitecture B0 { get; } = Paper("B0", _depthsB, 1, 2.5);

    /// <summary>RepVGG-B1.</summary>
    public static RepVggArchitecture B1 { get; } = Paper("B1", _depthsB, 2, 4);

    /// <summary>RepVGG-B2.</summary>
    public static RepVggArchitecture B2 { get; } = Paper("B2", _depthsB, 2.5, 5);

    /// <summary>RepVGG-B3.</summary>
    public static RepVggArchitecture B3 { get; } = Paper("B3", _depthsB, 3, 5);

    /// <summary>RepVGG-D2se: deeper than the B series, with squeeze-and-excitation before the ReLU; for images of 320x320 pixels.</summary>
    public static RepVggArchitecture D2se { get; } = Paper("D2se", _depthsD, 2.5, 5) with
    {
        SqueezeExcitation = SqueezeExcitation.BeforeRelu,
        DefaultImageSize = 320,
    };

    /// <summary>RepVGGplus-L2pse: D2's widths and depths, squeeze-and-excitation after the ReLU, and auxiliary heads in training; for images of 320x320 pixels.</summary>
    public static RepVggArchitecture PlusL2pse { get; } = Plus("RepVGGplus-L2pse", _depthsD, 2.5, 5);

    /// <summary>RepOpt-VGG-B1: the shape of RepVGG-B1 as a plain network, which is trained with RepOptimizer.</summary>
    public static RepVggArchitecture RepOptB1 { get; } = RepOpt("B1", _depthsB, 2, 4);

    /// <summary>RepOpt-VGG-B2: the shape of RepVGG-B2 as a plain network, which is trained with RepOptimizer.</summary>
    public static RepVggArchitecture RepOptB2 { get; } = RepOpt("B2", _depthsB, 2.5, 5);

    /// <summary>RepOpt-VGG-L1: the depths of RepVGG-D2se with the widths of RepVGG-B1, as a plain network, which is trained with RepOptimizer.</summary>
    public static RepVggArchitecture RepOptL1 { get; } = RepOpt("L1", _depthsD, 2, 4);

    /// <summary>RepOpt-VGG-L2: the shape of RepVGG-D2se without squeeze-and-excitation, as a plain network, which is trained with RepOptimizer.</summary>
    public static RepVggArchitecture RepOptL2 { get; } = RepOpt("L2", _depthsD, 2.5, 5);

    /// <summary>All named variants: the small variants, the A and B series, D2se, RepVGGplus and RepOpt-VGG.</summary>
    public static ImmutableArray<RepVggArchitecture> All { get; } =
    [
        S0, S1, S2, S3, S4,
        A0, A1, A2,
        B0, B1, Grouped(B1, 2), Grouped(B1, 4), B2, Grouped(B2, 2), Grouped(B2, 4), B3, Grouped(B3, 2), Grouped(B3, 4),
        D2se, PlusL2pse,
        RepOptB1, RepOptB2, RepOptL1, RepOptL2,
    ];

    /// <summary>Finds a variant by its name.</summary>
    /// <param name="name">The name, such as <c>RepVGG-A0</c>. It is not case-sensitive, and the prefix <c>RepVGG-</c> can be omitted.</param>
    /// <returns>The variant.</returns>
    /// <exception cref="ArgumentException">There is no variant with this name. The message lists all variants.</exception>
    public static RepVggArchitecture Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        string wanted = name.Trim();
        foreach (var variant in All)
        {
            if (wanted.Equals(variant.Name, StringComparison.OrdinalIgnoreCase)
                || (variant.Name.StartsWith(Prefix, StringComparison.Ordinal) && wanted.Equals(variant.Name[Prefix.Length..], StringComparison.OrdinalIgnoreCase)))
                return variant;
        }
        throw new ArgumentException($"There is no RepVGG variant named '{name}'. The variants are: {string.Join(", ", All.Select(variant => variant.Name))}.", nameof(name));
    }

    /// <summary>Gets the default variant for an image size: S1 up to 40 pixels, S2 up to 64 pixels, A0 above.</summary>
    /// <param name="pixels">The longer side of the images, in pixels.</param>
    /// <returns>The variant.</returns>
    public static RepVggArchitecture ForImageSize(int pixels)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(pixels, 1);
        return pixels <= 40 ? S1 : pixels <= 64 ? S2 : A0;
    }

    /// <summary>Creates an architecture with the layout of the paper: a stem and four stages, each of stride 2, with the widths min(64, 64a), 64a, 128a, 256a and 512b.</summary>
    /// <param name="name">Name of the architecture.</param>
    /// <param name="depths">Number of blocks of stages 1 to 4.</param>
    /// <param name="a">Width multiplier of stages 1 to 3; the stem has min(64, 64a) channels.</param>
    /// <param name="b">Width multiplier of stage 4.</param>
    /// <returns>The architecture, with one group and without squeeze-and-excitation.</returns>
    /// <exception cref="ArgumentException">The number of depths is not four, or the architecture is invalid.</exception>
    public static RepVggArchitecture Create(string name, ReadOnlySpan<int> depths, double a, double b)
    {
        if (depths.Length != 4)
            throw new ArgumentException($"Four depths are needed, not {depths.Length}.", nameof(depths));
        var architecture = new RepVggArchitecture
        {
            Name = name,
            Stages =
            [
                new("stage0", Math.Min(64, Width(64, a)), 1, 2),
                new("stage1", Width(64, a), depths[0], 2),
                new("stage2", Width(128, a), depths[1], 2),
                new("stage3", Width(256, a), depths[2], 2),
                new("stage4", Width(512, b), depths[3], 2),
            ],
        };
        architecture.Validate();
        return architecture;
    }

    private static int Width(int width, double multiplier) => (int)Math.Clamp(width * multiplier, 0, int.MaxValue);

    private static RepVggArchitecture Paper(string name, int[] depths, double a, double b) => Create(Prefix + name, depths, a, b);

    private static RepVggArchitecture RepOpt(string name, int[] depths, double a, double b) => Create($"RepOpt-VGG-{name}", depths, a, b) with { TrainingForm = TrainingForm.Plain };

    private static RepVggArchitecture Grouped(RepVggArchitecture variant, int groups) =>
        variant with { Name = $"{variant.Name}g{groups}", Groups = groups };

    private static RepVggArchitecture Small(string name, int imageSize, int channels, ImmutableArray<StageSpec> stages) =>
        new() { Name = Prefix + name, Stages = stages, DefaultImageSize = imageSize, InputChannels = channels };

    private static RepVggArchitecture Plus(string name, int[] depths, double a, double b)
    {
        var plain = Create(name, depths, a, b);
        var third = plain.Stages[3];
        int half = third.Depth / 2;
        return plain with
        {
            PlusLayout = true,
            SqueezeExcitation = SqueezeExcitation.AfterRelu,
            DefaultImageSize = 320,
            Stages =
            [
                plain.Stages[0],
                plain.Stages[1] with { AuxiliaryHead = true },
                plain.Stages[2] with { AuxiliaryHead = true },
                third with { Name = "stage3_first", Depth = half, AuxiliaryHead = true },
                third with { Name = "stage3_second", Depth = third.Depth - half, Stride = 1 },
                plain.Stages[4],
            ],
        };
    }
}

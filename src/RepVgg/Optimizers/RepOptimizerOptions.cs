using System.Text.Json.Serialization;
using RepVgg.Architectures;
using RepVgg.Weights;

namespace RepVgg.Optimizers;

/// <summary>
/// RepOptimizer: an optimizer that trains the plain 3x3 convolutions of <see cref="TrainingForm.Plain"/> as the sum of a 3x3, a 1x1 and an identity
/// branch with constant scales would be trained. It multiplies the gradients of the blocks' kernels by constants.
/// </summary>
/// <remarks>
/// Source: Ding et al., "Re-parameterizing Your Optimizers rather than Architectures", ICLR 2023. Exactly one of <see cref="Scales"/> and
/// <see cref="ScalesPath"/> is given. A network that starts from random weights gets the sum of random branches as kernels before the first
/// step. Pretrained weights are not changed before the first step; their gradients are multiplied. Gradients must not be clipped by their
/// norm. With <see cref="AdamWOptions"/>, the multipliers use the absolute values of the scales, which is right for scales of any sign, while
/// the authors' code is for scales of one sign.
/// </remarks>
public sealed record RepOptimizerOptions : OptimizerOptions
{
    private const int KernelSize = 3, Taps = KernelSize * KernelSize, Centre = Taps / 2;

    /// <summary>The scales; see <see cref="RepOptimizerScales"/>. Null if <see cref="ScalesPath"/> is given.</summary>
    [JsonIgnore]
    public RepOptimizerScales? Scales { get; init; }

    /// <summary>File of the scales, which <see cref="RepOptimizerScales.Load"/> reads; null if <see cref="Scales"/> are given.</summary>
    [JsonIgnore]
    public string? ScalesPath { get; init; }

    /// <summary>The algorithm whose gradients are multiplied: <see cref="SgdOptions"/> or <see cref="AdamWOptions"/>. The published networks were trained with Nesterov's method, a momentum of 0.9 and a weight decay of 4e-5.</summary>
    public OptimizerOptions Base { get; init; } = new SgdOptions(Momentum: 0.9f, Nesterov: true);

    /// <summary>Whether the scales of the identity branches are used in the initial kernels, instead of 1. They have no other influence.</summary>
    public bool UseIdentityScales { get; init; } = true;

    /// <summary>The scales in the description of a run.</summary>
    [JsonInclude]
    [JsonPropertyName("Scales")]
    internal string? ScalesHash => Scales?.Hash;

    internal override float DefaultLearningRate => Base.DefaultLearningRate;

    internal override float DefaultWeightDecay => Base.DefaultWeightDecay;

    internal override string Name => $"RepOptimizer over {Base.Name}";

    internal override IReadOnlyList<string> Slots => Base.Slots;

    internal override bool CountsSteps => Base.CountsSteps;

    internal override void Validate()
    {
        if (Scales is null == ScalesPath is null)
            throw new ArgumentException($"RepOptimizer has {(Scales is null ? "neither Scales nor ScalesPath" : "both Scales and ScalesPath")}; give exactly one of them. Scales are found by a search with the same architecture (RepOptimizerSearch), or published for it.", nameof(Scales));
        if (ScalesPath is not null && string.IsNullOrWhiteSpace(ScalesPath))
            throw new ArgumentException("ScalesPath is empty; it must be the path of a file of scales.", nameof(ScalesPath));
        if (Base is not (SgdOptions or AdamWOptions))
            throw new ArgumentException($"The base of RepOptimizer is {(Base is null ? "null" : Base.GetType().Name)}; it must be SgdOptions or AdamWOptions.", nameof(Base));
        Base.Validate();
    }

    /// <summary>Reads the scales, if a path is given, and checks that they and the training form fit.</summary>
    /// <exception cref="ArgumentException">The training form is not Plain, or the scales are those of another network.</exception>
    /// <exception cref="InvalidDataException">The file of scales cannot be used.</exception>
    /// <exception cref="IOException">The file of scales cannot be read.</exception>
    internal RepOptimizerOptions For(RepVggArchitecture architecture)
    {
        Validate();
        if (architecture.TrainingForm != TrainingForm.Plain)
        {
            throw new ArgumentException(
                $"RepOptimizer cannot train {architecture.Name} in the training form {architecture.TrainingForm}: RepOptimizer is defined for blocks of one convolution, the form {TrainingForm.Plain}, only. "
                + $"Train it in the form {TrainingForm.Plain} (Options.TrainingForm), or with another optimizer.");
        }
        var scales = Scales ?? RepOptimizerScales.Load(ScalesPath!);
        scales.Validate(architecture);
        foreach (var block in architecture.Blocks.Where(block => !block.HasIdentity))
        {
            int channel = scales.Convolution(block).Zip(scales.Pointwise(block)).ToList().FindIndex(pair => pair is (0, 0));
            if (channel >= 0)
                throw new ArgumentException($"The scales of the 3x3 and of the 1x1 branch of {block.Name} are both 0 at channel {channel}, so that its filter would stay 0. Scales like these are not those of a search.");
        }
        return this with { Scales = scales, ScalesPath = null };
    }

    /// <summary>Computes the gradient multipliers of the blocks' kernels, under the names of the kernels.</summary>
    /// <remarks>
    /// Source: RepOptimizer, section 3.2. Let W be a A + b B with constants a and b. A step of SGD changes A by the gradient of W times a, so it
    /// changes W by that times a^2 + b^2. A step of AdamW changes A by a value that does not depend on the size of its gradient, but has the sign of a,
    /// so it changes W by that times |a| + |b|. The trained scale of the identity is the diagonal of the centre, with the factor 1.
    /// </remarks>
    internal IReadOnlyDictionary<string, TensorData> Multipliers(RepVggArchitecture architecture)
    {
        var multipliers = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        foreach (var block in architecture.Blocks)
        {
            var (convolution, pointwise) = (Scales!.Convolution(block), Scales.Pointwise(block));
            int inputs = block.InputChannels / block.Groups;
            var multiplier = TensorData.Zeros(block.OutputChannels, inputs, KernelSize, KernelSize);
            for (int channel = 0; channel < block.OutputChannels; channel++)
            {
                float outer = Factor(convolution[channel]), centre = outer + Factor(pointwise[channel]);
                for (int input = 0; input < inputs; input++)
                {
                    var filter = multiplier.Values.AsSpan((channel * inputs + input) * Taps, Taps);
                    filter.Fill(outer);
                    filter[Centre] = block.HasIdentity && input == channel % inputs ? centre + 1 : centre;
                }
            }
            multipliers[NameOf(block)] = multiplier;
        }
        return multipliers;

        float Factor(float scale) => Base is AdamWOptions ? Math.Abs(scale) : scale * scale;
    }

    /// <summary>Computes the initial kernels of the blocks, each the sum of the branches of a block of <see cref="TrainingForm.Csla"/>.</summary>
    /// <remarks>Source: RepOptimizer, section 3.2, "Rule of Initialization".</remarks>
    /// <param name="architecture">The architecture.</param>
    /// <param name="initial">Returns the initial values of a kernel of <see cref="TrainingForm.Csla"/> by its name.</param>
    /// <returns>The kernels and their names.</returns>
    internal IEnumerable<(string Name, TensorData Kernel)> InitialKernels(RepVggArchitecture architecture, Func<string, TensorData> initial) =>
        architecture.Blocks.Select(block => (NameOf(block), Sum(block, initial(NameOf(block)), initial($"{block.Name}.conv_1x1.weight"))));

    private TensorData Sum(BlockSpec block, TensorData convolution, TensorData pointwise)
    {
        var (convolutionScales, pointwiseScales) = (Scales!.Convolution(block), Scales.Pointwise(block));
        int inputs = block.InputChannels / block.Groups;
        var kernel = TensorData.Zeros([.. convolution.Shape]);
        for (int channel = 0; channel < block.OutputChannels; channel++)
        {
            double convolutionScale = convolutionScales[channel], pointwiseScale = pointwiseScales[channel];
            double identity = !block.HasIdentity ? 0 : UseIdentityScales ? Scales.Identity(block)[channel] : 1;
            for (int input = 0; input < inputs; input++)
            {
                int filter = (channel * inputs + input) * Taps;
                for (int tap = 0; tap < Taps; tap++)
                    kernel.Values[filter + tap] = (float)(convolutionScale * convolution.Values[filter + tap]);
                double added = pointwiseScale * pointwise.Values[channel * inputs + input] + (input == channel % inputs ? identity : 0);
                kernel.Values[filter + Centre] = (float)(convolutionScale * convolution.Values[filter + Centre] + added);
            }
        }
        return kernel;
    }

    /// <summary>Name of the kernel of a block, which is also that of the 3x3 branch of <see cref="TrainingForm.Csla"/>.</summary>
    private static string NameOf(BlockSpec block) => $"{block.Name}.conv.weight";
}

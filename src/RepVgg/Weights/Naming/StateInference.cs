using System.Globalization;
using System.Text.RegularExpressions;
using RepVgg.Architectures;
using RepVgg.Runtime;

namespace RepVgg.Weights.Naming;

/// <summary>Determines the form of weights from their names, and the architecture from their names and shapes.</summary>
/// <remarks>
/// Names and shapes determine widths, depths, groups, squeeze-and-excitation and the RepVGGplus layout, but not all strides; see
/// <see cref="ArchitectureInference"/>.
/// </remarks>
internal static partial class StateInference
{
    private const string DeployKernelSuffix = ".rbr_reparam.weight";

    /// <summary>Determines the form of weights.</summary>
    /// <param name="state">Weights under the authors' names.</param>
    /// <returns>The form.</returns>
    /// <exception cref="ArgumentException">The weights have neither form, or names of both.</exception>
    public static WeightsForm FormOf(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        bool training = TrainingForms.All.Any(form => HasKernels(state, form));
        bool deploy = state.Names.Any(name => name.EndsWith(DeployKernelSuffix, StringComparison.Ordinal));
        return (training, deploy) switch
        {
            (true, false) => WeightsForm.Training,
            (false, true) => WeightsForm.Deploy,
            (true, true) => throw new ArgumentException("The weights mix the training and the deploy form: some blocks are fused and others are not.", nameof(state)),
            _ => throw new ArgumentException($"The weights are not those of a RepVGG network: no name ends in {string.Join(" or ", TrainingForms.All.Select(KernelSuffix).Append(DeployKernelSuffix).Distinct().Select(suffix => $"'{suffix[1..]}'"))}.", nameof(state)),
        };
    }

    /// <summary>Infers the architecture.</summary>
    /// <param name="state">Weights under the authors' names, of either form.</param>
    /// <param name="trainingForm">The training form of training weights; null to find it from their names.</param>
    /// <param name="strides">The stride of every stage, the stem included; null for those of a variant, or the usual ones.</param>
    /// <returns>A named variant if one has these names, shapes and strides, otherwise an architecture named <c>RepVGG</c>.</returns>
    /// <exception cref="ArgumentException">The weights match no RepVGG architecture; the message states why.</exception>
    public static RepVggArchitecture Infer(StateDict state, TrainingForm? trainingForm = null, IReadOnlyList<int>? strides = null)
    {
        var form = FormOf(state);
        int classes = StateLayout.ClassesOf(state);
        if (form == WeightsForm.Deploy)
        {
            var deployed = ArchitectureInference.Infer(Find(state, null, strides));
            StateLayout.Check(state, StateLayout.Deploy(deployed, classes), "the deploy form that their shapes suggest", StateLayout.IsAuxiliary);
            return deployed;
        }
        TrainingForm[] forms = trainingForm is { } given ? [given]
            : [.. TrainingForms.ToldByNames.Where(block => HasKernels(state, block))];
        RepVggArchitecture[] candidates = [.. forms.Select(block => ArchitectureInference.Infer(Find(state, block, strides)))];
        Func<string, bool>? ignored = classes == 0 ? StateLayout.IsAuxiliary : null; // a backbone may still have them
        var architecture = candidates.FirstOrDefault(candidate => StateLayout.Fits(state, StateLayout.Training(candidate, classes), ignored));
        if (architecture is null)
        {
            // The message lists the differences from the first form.
            architecture = candidates[0];
            StateLayout.Check(state, StateLayout.Training(architecture, classes), "the training form that their shapes suggest", ignored);
        }
        return architecture;
    }

    /// <summary>Collects what the names and shapes tell about the network.</summary>
    /// <param name="state">The weights.</param>
    /// <param name="form">The training form of training weights; null for the deploy form.</param>
    /// <param name="strides">The stride of every stage; null if unknown.</param>
    private static FoundNetwork Find(StateDict state, TrainingForm? form, IReadOnlyList<int>? strides)
    {
        var blocks = FindBlocks(state, form);
        if (strides is not null)
            blocks = WithStrides(blocks, strides);
        bool isBackbone = StateLayout.ClassesOf(state) == 0;
        var auxiliary = blocks.Select(block => block.Stage!).Where(stage => state.Contains($"{stage}{StateLayout.AuxiliarySuffix}.0.conv.weight"));
        return new FoundNetwork(blocks, FindSqueezeExcitation(state, blocks[0].Name!))
        {
            Form = form ?? default,
            PlusLayout = state.Names.Any(name => name.Contains(".blocks.", StringComparison.Ordinal)),
            AuxiliaryHeads = auxiliary.ToHashSet(StringComparer.Ordinal),
            AuxiliaryHeadsAreComplete = form is not null && !isBackbone,
        };
    }

    private static List<FoundBlock> WithStrides(List<FoundBlock> blocks, IReadOnlyList<int> strides)
    {
        string[] stages = [.. blocks.Select(block => block.Stage!).Distinct()];
        if (stages.Length != strides.Count)
            throw new ArgumentException($"{strides.Count} strides were given for {stages.Length} stages: {string.Join(", ", stages)}.", nameof(strides));
        var found = new List<FoundBlock>(blocks.Count);
        foreach (var block in blocks)
            found.Add(block with { Stride = found.Count > 0 && found[^1].Stage == block.Stage ? 1 : strides[Array.IndexOf(stages, block.Stage)] });
        return found;
    }

    private static bool HasKernels(StateDict state, TrainingForm form) => state.Names.Any(name => name.EndsWith(KernelSuffix(form), StringComparison.Ordinal));

    private static string KernelSuffix(TrainingForm form) => $".{TrainingForms.MainKernelOf(form)}.weight";

    private static SqueezeExcitation FindSqueezeExcitation(StateDict state, string block) =>
        state.Contains($"{block}.se.down.weight") ? SqueezeExcitation.BeforeRelu
        : state.Contains($"{block}.post_se.down.weight") ? SqueezeExcitation.AfterRelu
        : SqueezeExcitation.None;

    /// <summary>Finds the blocks by their 3x3 kernels. They are sorted by stage and block number; the order in the file is not used.</summary>
    private static List<FoundBlock> FindBlocks(StateDict state, TrainingForm? form)
    {
        string suffix = form is { } trained ? KernelSuffix(trained) : DeployKernelSuffix;
        string? identity = form is { } known ? TrainingForms.IdentityNormOf(known) : null;
        var kernels = new List<(Match Name, TensorData Kernel)>();
        foreach (var (name, kernel) in state)
        {
            if (!name.EndsWith(suffix, StringComparison.Ordinal))
                continue;
            var match = BlockName().Match(name[..^suffix.Length]);
            if (!match.Success || kernel.Shape is not [> 0, > 0, 3, 3])
            {
                string digits = name.Any(character => char.IsDigit(character) && !char.IsAsciiDigit(character)) ? " The digits of its name must be 0 to 9." : "";
                throw new ArgumentException($"'{MessageText.Printable(name)}' of shape {kernel} is not the 3x3 kernel of a RepVGG block.{digits}", nameof(state));
            }
            kernels.Add((match, kernel));
        }
        // The stage parts "_first" and "_second" sort correctly as strings.
        kernels = [.. kernels.OrderBy(kernel => Number(kernel.Name, "number")).ThenBy(kernel => kernel.Name.Groups["part"].Value, StringComparer.Ordinal).ThenBy(kernel => Number(kernel.Name, "block"))];

        var blocks = new List<FoundBlock>(kernels.Count);
        int inputs = kernels[0].Kernel.Shape[1];
        foreach (var (name, kernel) in kernels)
        {
            blocks.Add(new FoundBlock(inputs, kernel.Shape[0], Math.Max(inputs / kernel.Shape[1], 1))
            {
                Name = name.Value,
                Stage = name.Groups["stage"].Value,
                HasIdentity = identity is null ? null : state.Contains($"{name.Value}.{identity}.weight"),
            });
            inputs = kernel.Shape[0];
        }
        return blocks;
    }

    private static int Number(Match name, string group) => name.Groups[group] is { Success: true } digits ? int.Parse(digits.ValueSpan, CultureInfo.InvariantCulture) : 0;

    [GeneratedRegex(@"\A(?<stage>stage(?<number>[0-9]{1,4})(?<part>_[a-z]+)?)(\.(blocks\.)?(?<block>[0-9]{1,5}))?\z")]
    private static partial Regex BlockName();
}

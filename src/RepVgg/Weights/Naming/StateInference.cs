using System.Collections.Immutable;
using System.Text.RegularExpressions;
using RepVgg.Architectures;
using RepVgg.Networks;

namespace RepVgg.Weights.Naming;

/// <summary>Infers the architecture of weights from their names and shapes.</summary>
/// <remarks>
/// Names and shapes determine widths, depths, groups, squeeze-and-excitation and the RepVGGplus layout, but not strides.
/// If a named variant has exactly these shapes, its strides are used. Otherwise, the first block of a
/// stage has stride 1 if it has an identity branch, or if the stage name ends in "_second" and the numbers of input and
/// output channels are equal; all other first blocks are assumed to have stride 2, as in all networks of the authors.
/// </remarks>
public static partial class StateInference
{
    /// <summary>Determines the form of weights.</summary>
    /// <param name="state">Weights under the authors' names.</param>
    /// <returns>The form.</returns>
    /// <exception cref="ArgumentException">The weights have neither form, or names of both.</exception>
    public static WeightsForm FormOf(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        bool training = state.Names.Any(name => name.EndsWith(".rbr_dense.conv.weight", StringComparison.Ordinal));
        bool deploy = state.Names.Any(name => name.EndsWith(".rbr_reparam.weight", StringComparison.Ordinal));
        return (training, deploy) switch
        {
            (true, false) => WeightsForm.Training,
            (false, true) => WeightsForm.Deploy,
            (true, true) => throw new ArgumentException("The weights mix the training and the deploy form: some blocks are fused and others are not.", nameof(state)),
            _ => throw new ArgumentException("The weights are not those of a RepVGG network: no name ends in 'rbr_dense.conv.weight' or 'rbr_reparam.weight'.", nameof(state)),
        };
    }

    /// <summary>Infers the architecture.</summary>
    /// <param name="state">Weights under the authors' names, of either form.</param>
    /// <returns>A named variant if one has these names and shapes, otherwise an architecture named <c>RepVGG</c>.</returns>
    /// <exception cref="ArgumentException">The weights match no RepVGG architecture; the message states why.</exception>
    public static RepVggArchitecture Infer(StateDict state)
    {
        var form = FormOf(state);
        int classes = StateLayout.ClassesOf(state);
        var blocks = FindBlocks(state, form);
        int channels = blocks[0].Kernel.Shape[1];
        foreach (var variant in RepVggVariants.All)
        {
            var sized = variant with { InputChannels = channels };
            if (Fits(sized, state, form, classes))
                return sized;
            // The auxiliary heads of a RepVGGplus variant may have been removed.
            var headless = sized with { Stages = [.. sized.Stages.Select(stage => stage with { AuxiliaryHead = false })] };
            if (variant.PlusLayout && Fits(headless, state, form, classes))
                return headless;
        }
        var architecture = Assemble(state, blocks, channels);
        architecture.Validate();
        StateLayout.Check(state, Layout(architecture, form, classes), $"the {(form == WeightsForm.Training ? "training" : "deploy")} form that their shapes suggest", form == WeightsForm.Deploy ? DeployStates.IsAuxiliary : null);
        return architecture;
    }

    private static RepVggArchitecture Assemble(StateDict state, List<FoundBlock> blocks, int channels)
    {
        var stages = ImmutableArray.CreateBuilder<StageSpec>();
        int groups = 1, inputs = channels;
        foreach (var (i, block) in blocks.Index())
        {
            int outputs = block.Kernel.Shape[0];
            if (stages.Count == 0 || stages[^1].Name != block.Stage)
            {
                bool keeps = state.Contains($"{block.Name}.rbr_identity.weight") || (inputs == outputs && block.Stage.EndsWith("_second", StringComparison.Ordinal));
                stages.Add(new StageSpec(block.Stage, outputs, 1, keeps ? 1 : 2, state.Contains($"{block.Stage}{StateLayout.AuxiliarySuffix}.0.conv.weight")));
            }
            else
            {
                stages[^1] = stages[^1] with { Depth = stages[^1].Depth + 1 };
            }
            if (i == 2)
                groups = Math.Max(inputs / block.Kernel.Shape[1], 1);
            inputs = outputs;
        }
        return new RepVggArchitecture
        {
            Name = "RepVGG",
            InputChannels = channels,
            Stages = stages.ToImmutable(),
            Groups = groups,
            PlusLayout = state.Names.Any(name => name.Contains(".blocks.", StringComparison.Ordinal)),
            SqueezeExcitation = state.Contains($"{blocks[0].Name}.se.down.weight") ? SqueezeExcitation.BeforeRelu
                : state.Contains($"{blocks[0].Name}.post_se.down.weight") ? SqueezeExcitation.AfterRelu
                : SqueezeExcitation.None,
        };
    }

    /// <summary>Returns the 3x3 kernels of all blocks, sorted by stage and block number. The order in the file is not used.</summary>
    private static List<FoundBlock> FindBlocks(StateDict state, WeightsForm form)
    {
        string suffix = form == WeightsForm.Training ? ".rbr_dense.conv.weight" : ".rbr_reparam.weight";
        var blocks = new List<FoundBlock>();
        foreach (var (name, kernel) in state)
        {
            if (!name.EndsWith(suffix, StringComparison.Ordinal))
                continue;
            var match = BlockName().Match(name[..^suffix.Length]);
            if (!match.Success || kernel.Shape is not [> 0, > 0, 3, 3])
                throw new ArgumentException($"'{name}' of shape {kernel} is not the 3x3 kernel of a RepVGG block.", nameof(state));
            blocks.Add(new FoundBlock(
                match.Value, match.Groups["stage"].Value, int.Parse(match.Groups["number"].ValueSpan), match.Groups["part"].Value,
                match.Groups["block"].Success ? int.Parse(match.Groups["block"].ValueSpan) : 0, kernel));
        }
        // The stage parts "_first" and "_second" sort correctly as strings.
        blocks.Sort((left, right) => (left.Number, left.Part, left.Index).CompareTo((right.Number, right.Part, right.Index)));
        return blocks;
    }

    private static IReadOnlyList<StateEntry> Layout(RepVggArchitecture architecture, WeightsForm form, int classes) =>
        form == WeightsForm.Training ? StateLayout.Training(architecture, classes) : StateLayout.Deploy(architecture, classes);

    private static bool Fits(RepVggArchitecture architecture, StateDict state, WeightsForm form, int classes)
    {
        var layout = Layout(architecture, form, classes);
        // Weights of the deploy form may still contain auxiliary heads.
        int ignored = state.Names.Count(name => name.EndsWith(StateLayout.BatchCounter, StringComparison.Ordinal) || (form == WeightsForm.Deploy && DeployStates.IsAuxiliary(name)));
        return layout.Count + ignored == state.Count
            && layout.All(entry => state.TryGet(entry.Name, out var tensor) && tensor.Shape.SequenceEqual(entry.Shape));
    }

    private sealed record FoundBlock(string Name, string Stage, int Number, string Part, int Index, TensorData Kernel);

    [GeneratedRegex(@"\A(?<stage>stage(?<number>\d{1,4})(?<part>_[a-z]+)?)(\.(blocks\.)?(?<block>\d{1,5}))?\z")]
    private static partial Regex BlockName();
}

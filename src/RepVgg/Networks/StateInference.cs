using System.Collections.Immutable;
using System.Text.RegularExpressions;
using RepVgg.Architectures;
using RepVgg.Formats;

namespace RepVgg.Networks;

/// <summary>Finds the architecture that weights belong to, from their names and shapes.</summary>
/// <remarks>
/// Widths, depths, groups, squeeze-and-excitation and the RepVGGplus layout show in names and shapes. Strides do not:
/// a block with an identity branch has stride 1, and the first block of a stage is taken to have stride 2, as in every
/// network of the authors, unless a named variant with exactly these shapes says otherwise.
/// </remarks>
public static partial class StateInference
{
    /// <summary>Finds which form weights have.</summary>
    /// <param name="state">Weights under the authors' names.</param>
    /// <returns>The form.</returns>
    /// <exception cref="ArgumentException">They have neither, or both.</exception>
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
            _ => throw new ArgumentException("The weights are no RepVGG's: there is neither a name that ends in 'rbr_dense.conv.weight' nor one that ends in 'rbr_reparam.weight'.", nameof(state)),
        };
    }

    /// <summary>Finds the architecture.</summary>
    /// <param name="state">Weights under the authors' names, of either form.</param>
    /// <returns>A named variant where one has these names and shapes, else an architecture named <c>RepVGG</c>.</returns>
    /// <exception cref="ArgumentException">No RepVGG has these weights; the message says why.</exception>
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
            // Training goes on without auxiliary heads where they were dropped.
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

    /// <summary>Every block's 3x3 kernel, by number of stage and block; the file's order does not matter.</summary>
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
        // "_first" comes before "_second" in the alphabet too.
        blocks.Sort((left, right) => (left.Number, left.Part, left.Index).CompareTo((right.Number, right.Part, right.Index)));
        return blocks;
    }

    private static IReadOnlyList<StateEntry> Layout(RepVggArchitecture architecture, WeightsForm form, int classes) =>
        form == WeightsForm.Training ? StateLayout.Training(architecture, classes) : StateLayout.Deploy(architecture, classes);

    private static bool Fits(RepVggArchitecture architecture, StateDict state, WeightsForm form, int classes)
    {
        var layout = Layout(architecture, form, classes);
        // In the deploy form, auxiliary heads may have been left in.
        int ignored = state.Names.Count(name => name.EndsWith(StateLayout.BatchCounter, StringComparison.Ordinal) || (form == WeightsForm.Deploy && DeployStates.IsAuxiliary(name)));
        return layout.Count + ignored == state.Count
            && layout.All(entry => state.TryGet(entry.Name, out var tensor) && tensor.Shape.SequenceEqual(entry.Shape));
    }

    private sealed record FoundBlock(string Name, string Stage, int Number, string Part, int Index, TensorData Kernel);

    [GeneratedRegex(@"\A(?<stage>stage(?<number>\d{1,4})(?<part>_[a-z]+)?)(\.(blocks\.)?(?<block>\d{1,5}))?\z")]
    private static partial Regex BlockName();
}

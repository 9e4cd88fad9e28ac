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
        if (trainingForm is { } wanted)
            RequireNames(state, wanted, classes);
        TrainingForm[] forms = trainingForm is { } given ? [given] : [.. TrainingForms.ToldByNames.Where(block => HasKernels(state, block))];
        RepVggArchitecture? first = null;
        foreach (var candidate in forms.Select(block => TryInfer(state, block, strides)).OfType<RepVggArchitecture>())
        {
            if (Fits(state, candidate))
                return candidate;
            first ??= candidate;
        }
        // Throws the exception of the first form, or lists the differences from the first architecture.
        first ??= ArchitectureInference.Infer(Find(state, forms[0], strides));
        CheckTraining(state, first, classes, $"the training form {first.TrainingForm} that their shapes suggest");
        return first;
    }

    /// <summary>Compares weights with the expected tensors of a training form, and reports the differences in one exception, which names the form whose names the weights have.</summary>
    /// <param name="state">The weights.</param>
    /// <param name="architecture">The expected architecture.</param>
    /// <param name="classes">Number of classes; 0 for weights without a classifier.</param>
    /// <param name="what">Description of the network for the message.</param>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, or have a wrong shape.</exception>
    public static void CheckTraining(StateDict state, RepVggArchitecture architecture, int classes, string what) =>
        StateLayout.Check(state, StateLayout.Training(architecture, classes), what, IgnoredIn(classes), () => OtherFormThan(architecture.TrainingForm, state));

    /// <summary>Throws an exception if weights have no blocks of a form; it names the form whose names they have, and the first names that differ.</summary>
    private static void RequireNames(StateDict state, TrainingForm wanted, int classes)
    {
        bool hasKernels = HasKernels(state, wanted);
        if (hasKernels && TryInfer(state, wanted, null) is not null)
            return;
        var fitting = FittingArchitecture(state);
        // Some blocks have the names of the form, but they are not a network: the message is that of the inference.
        if (hasKernels && fitting is null)
            return;
        string reason = hasKernels ? "" : $" No name ends in '{KernelSuffix(wanted)[1..]}'.";
        string differences = fitting is null
            ? $" The names are {MessageText.Join([.. state.Names])}."
            : StateLayout.Differences(state, StateLayout.Training(fitting with { TrainingForm = wanted }, classes), IgnoredIn(classes)) + NamesOf(fitting.TrainingForm);
        throw new ArgumentException($"The weights are not those of the training form {wanted}.{reason}{differences}", nameof(state));
    }

    private static bool Fits(StateDict state, RepVggArchitecture architecture)
    {
        int classes = StateLayout.ClassesOf(state);
        return StateLayout.Fits(state, StateLayout.Training(architecture, classes), IgnoredIn(classes));
    }

    /// <summary>Weights without a classifier may still have auxiliary heads.</summary>
    private static Func<string, bool>? IgnoredIn(int classes) => classes == 0 ? StateLayout.IsAuxiliary : null;

    /// <summary>Returns a sentence with the training form whose names weights have; empty if it is the expected one, or none.</summary>
    internal static string OtherFormThan(TrainingForm expected, StateDict state) =>
        FittingArchitecture(state) is { } fitting && fitting.TrainingForm != expected ? NamesOf(fitting.TrainingForm) : "";

    private static string NamesOf(TrainingForm form) =>
        $" They have the names of the training form {form}{(TrainingForms.IsToldByNames(form) ? "" : ", which must be given, because it is not found from names (WeightsFileOptions.TrainingForm)")}.";

    /// <summary>Infers the architecture in the first form that weights fit, of those that names tell if possible; null if there is none.</summary>
    private static RepVggArchitecture? FittingArchitecture(StateDict state) => TrainingForms.All
        .OrderBy(form => !TrainingForms.IsToldByNames(form))
        .Where(form => HasKernels(state, form))
        .Select(form => TryInfer(state, form, null))
        .FirstOrDefault(architecture => architecture is not null && Fits(state, architecture));

    /// <summary>Infers the architecture of weights of a form; null if they are not those of a network.</summary>
    private static RepVggArchitecture? TryInfer(StateDict state, TrainingForm form, IReadOnlyList<int>? strides)
    {
        try
        {
            return ArchitectureInference.Infer(Find(state, form, strides));
        }
        catch (ArgumentException)
        {
            return null;
        }
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
            Form = form,
            ConvolutionBranches = form == TrainingForm.MobileOne ? CountConvolutions(state, blocks[0].Name!) : RepVggArchitecture.DefaultConvolutionBranches,
            PlusLayout = state.Names.Any(name => name.Contains(".blocks.", StringComparison.Ordinal)),
            AuxiliaryHeads = auxiliary.ToHashSet(StringComparer.Ordinal),
            AuxiliaryHeadsAreComplete = form is not null && !isBackbone,
        };
    }

    /// <summary>Counts the 3x3 convolutions of a MobileOne block.</summary>
    private static int CountConvolutions(StateDict state, string block)
    {
        int count = 0;
        while (state.Contains($"{block}.rbr_conv.{count}.conv.weight"))
            count++;
        return count;
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

    private static bool HasKernels(StateDict state, TrainingForm form) => state.Names.Any(name => BlockOf(name, KernelSuffix(form)) is not null);

    /// <summary>Returns the block of which a tensor is the main kernel; null if it is none. A suffix such as <c>.conv.weight</c> is also that of layers within blocks and of auxiliary heads.</summary>
    private static string? BlockOf(string name, string suffix)
    {
        if (!name.EndsWith(suffix, StringComparison.Ordinal) || StateLayout.IsAuxiliary(name))
            return null;
        string block = name[..^suffix.Length];
        string[] parts = block.Split('.');
        int stage = Array.FindLastIndex(parts, part => part.StartsWith("stage", StringComparison.Ordinal));
        bool isBlock = parts[(stage + 1)..] switch
        {
            [] => true,
            // Without a stage, the names are those of another network.
            [var only] => stage < 0 || IsNumber(only),
            ["blocks", var number] => IsNumber(number),
            [.., var last] => stage < 0 && IsNumber(last),
        };
        return isBlock ? block : null;

        static bool IsNumber(string part) => part.Length > 0 && char.IsDigit(part[0]);
    }

    private static string KernelSuffix(TrainingForm form) => $".{TrainingForms.MainKernelOf(form)}.weight";

    private static SqueezeExcitation FindSqueezeExcitation(StateDict state, string block) =>
        state.Contains($"{block}.se.down.weight") || state.Contains($"{block}.se.reduce.weight") ? SqueezeExcitation.BeforeRelu
        : state.Contains($"{block}.post_se.down.weight") || state.Contains($"{block}.post_se.reduce.weight") ? SqueezeExcitation.AfterRelu
        : SqueezeExcitation.None;

    /// <summary>Finds the blocks by their 3x3 kernels. They are sorted by stage and block number; the order in the file is not used.</summary>
    private static List<FoundBlock> FindBlocks(StateDict state, TrainingForm? form)
    {
        string suffix = form is { } trained ? KernelSuffix(trained) : DeployKernelSuffix;
        int layers = form is { } layered ? TrainingForms.LayersPerBlock(layered) : 1;
        string? identity = form is { } known ? TrainingForms.IdentityTensorOf(known) : null;
        var kernels = FindKernels(state, suffix, layers);
        // Blocks of one layer among those of several are plain.
        if (layers > 1)
            kernels.AddRange(FindKernels(state, KernelSuffix(TrainingForm.Plain), 1));
        // The stage parts "_first" and "_second" sort correctly as strings.
        kernels = [.. kernels.OrderBy(kernel => Number(kernel.Name, "number")).ThenBy(kernel => kernel.Name.Groups["part"].Value, StringComparer.Ordinal).ThenBy(kernel => Number(kernel.Name, "block"))];

        var blocks = new List<FoundBlock>(kernels.Count);
        int inputs = kernels[0].Kernel.Shape[1];
        foreach (var (name, kernel, layersOfBlock) in kernels)
        {
            blocks.Add(new FoundBlock(inputs, kernel.Shape[0], Math.Max(inputs / kernel.Shape[1], 1))
            {
                Name = name.Value,
                Stage = name.Groups["stage"].Value,
                HasIdentity = identity is null ? null : state.Contains($"{name.Value}.{identity}"),
                Layers = layersOfBlock,
            });
            inputs = kernel.Shape[0];
        }
        return blocks;
    }

    private static List<(Match Name, TensorData Kernel, int Layers)> FindKernels(StateDict state, string suffix, int layers)
    {
        var kernels = new List<(Match, TensorData, int)>();
        foreach (var (name, kernel) in state)
        {
            if (BlockOf(name, suffix) is not { } block)
                continue;
            var match = BlockName().Match(block);
            if (!match.Success || kernel.Shape is not [> 0, > 0, 3, 3])
            {
                string digits = name.Any(character => char.IsDigit(character) && !char.IsAsciiDigit(character)) ? " The digits of its name must be 0 to 9." : "";
                throw new ArgumentException($"'{MessageText.Printable(name)}' of shape {kernel} is not the 3x3 kernel of a RepVGG block.{digits}", nameof(state));
            }
            kernels.Add((match, kernel, layers));
        }
        return kernels;
    }

    private static int Number(Match name, string group) => name.Groups[group] is { Success: true } digits ? int.Parse(digits.ValueSpan, CultureInfo.InvariantCulture) : 0;

    [GeneratedRegex(@"\A(?<stage>stage(?<number>[0-9]{1,4})(?<part>_[a-z]+)?)(\.(blocks\.)?(?<block>[0-9]{1,5}))?\z")]
    private static partial Regex BlockName();
}

using System.Globalization;
using System.Text;
using RepVgg.Architectures;
using RepVgg.Runtime;

namespace RepVgg.Weights.Naming;

/// <summary>The kind of a named tensor of a network.</summary>
internal enum StateKind
{
    /// <summary>Kernel of a convolution, OIHW.</summary>
    ConvWeight,

    /// <summary>Bias of a convolution; <see cref="StateEntry.FanIn"/> is that of the kernel.</summary>
    ConvBias,

    /// <summary>Weight of a batch normalisation.</summary>
    NormWeight,

    /// <summary>Bias of a batch normalisation.</summary>
    NormBias,

    /// <summary>Running mean; not trained.</summary>
    RunningMean,

    /// <summary>Running variance; not trained.</summary>
    RunningVariance,

    /// <summary>Weight of a linear layer, [out, in].</summary>
    LinearWeight,

    /// <summary>Bias of a linear layer.</summary>
    LinearBias,

    /// <summary>Trained factors of a branch, one per output channel.</summary>
    Scale,

    /// <summary>Constant factors of a branch, one per output channel; not trained.</summary>
    ConstantScale,

    /// <summary>The smallest and largest value of an activation, in quantization-aware training; not trained.</summary>
    ActivationRange,
}

/// <summary>Name, shape and kind of one tensor of a network.</summary>
/// <param name="Name">Full name of the tensor in the authors' checkpoints.</param>
/// <param name="Shape">Dimensions of the tensor.</param>
/// <param name="Kind">Kind of the tensor.</param>
/// <param name="FanIn">Number of inputs of each output of the layer; 0 for batch norms.</param>
internal sealed record StateEntry(string Name, int[] Shape, StateKind Kind, int FanIn = 0)
{
    /// <summary>Whether the tensor is trained.</summary>
    public bool IsParameter => Kind is not (StateKind.RunningMean or StateKind.RunningVariance or StateKind.ConstantScale or StateKind.ActivationRange);

    /// <summary>Initial value of all elements; null for random values, or those of a batch norm.</summary>
    public float? Initial { get; init; }

    /// <summary>Whether the tensor is the kernel of a branch of a block, to which the authors' custom L2 penalty applies instead of weight decay.</summary>
    public bool IsBranchKernel { get; init; }

    /// <summary>
    /// Whether weight decay applies to the tensor: to kernels, linear weights, the weights of identity batch norms and the scales of the
    /// identities of Csla and HyperSearch. Source: the authors' training recipes, which decay no biases and no other one-dimensional parameters.
    /// </summary>
    public bool HasWeightDecay { get; init; } = Kind is StateKind.ConvWeight or StateKind.LinearWeight;

    /// <summary>Number of values.</summary>
    public long Count => Shape.Aggregate(1L, (product, dimension) => product * dimension);
}

/// <summary>The names and shapes of a network's tensors, in the order of the authors' checkpoints.</summary>
internal static class StateLayout
{
    /// <summary>Suffix of the stage name in the names of auxiliary heads.</summary>
    public const string AuxiliarySuffix = "_aux";

    /// <summary>Returns the tensors of the training form.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="classes">Number of classes; 0 for a backbone, which has neither a classifier nor auxiliary heads.</param>
    public static IReadOnlyList<StateEntry> Training(RepVggArchitecture architecture, int classes)
    {
        var entries = new List<StateEntry>();
        foreach (var block in architecture.Blocks)
            entries.AddRange(Training(block));
        if (classes == 0)
            return entries;
        AddLinear(entries, "linear", architecture.FeatureWidth, classes);
        foreach (var stage in architecture.Stages.Where(stage => stage.AuxiliaryHead))
        {
            string name = stage.Name + AuxiliarySuffix;
            entries.Add(new StateEntry($"{name}.0.conv.weight", [stage.Width, stage.Width, 3, 3], StateKind.ConvWeight, stage.Width * 9));
            AddNorm(entries, $"{name}.0.bn", stage.Width);
            AddLinear(entries, $"{name}.3", stage.Width, classes);
        }
        return entries;
    }

    /// <summary>Returns the tensors of the training form of a block.</summary>
    /// <param name="block">The block.</param>
    public static IReadOnlyList<StateEntry> Training(BlockSpec block)
    {
        var entries = new List<StateEntry>();
        AddSqueezeExcitation(entries, block, block.SqueezeLayer, block.ExciteLayer);
        // The authors' modules register the identity first, so their checkpoints begin with it.
        foreach (var branch in block.Branches.OrderBy(branch => branch.Kind == BranchKind.Identity ? 0 : 1))
            AddBranch(entries, block, branch);
        if (TrainingForms.SumNormOf(block.Form) is { } norm)
            AddNorm(entries, $"{block.Name}.{norm}", block.OutputChannels);
        return entries;
    }

    /// <summary>Returns the tensors of the deploy form.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="classes">Number of classes; 0 for a backbone without a classifier.</param>
    public static IReadOnlyList<StateEntry> Deploy(RepVggArchitecture architecture, int classes)
    {
        var entries = new List<StateEntry>();
        foreach (var block in architecture.Blocks)
        {
            AddSqueezeExcitation(entries, block, $"{block.SqueezeExcitationName}.down", $"{block.SqueezeExcitationName}.up");
            AddConv(entries, $"{block.Name}.rbr_reparam", block.InputChannels, block.OutputChannels, block.Groups, 3, 3);
            entries.Add(new StateEntry($"{block.Name}.rbr_reparam.bias", [block.OutputChannels], StateKind.ConvBias, block.InputChannels / block.Groups * 9));
        }
        if (classes > 0)
            AddLinear(entries, "linear", architecture.FeatureWidth, classes);
        return entries;
    }

    /// <summary>Returns, for the tensors of the squeeze-and-excitations in the deploy form, their names in the training form.</summary>
    public static IReadOnlyDictionary<string, string> SqueezeExcitationNames(RepVggArchitecture architecture) => architecture.Blocks
        .Where(block => block.SqueezeExcitation != SqueezeExcitation.None)
        .SelectMany(block => (string[])["weight", "bias"], (block, tensor) => (Block: block, Tensor: tensor))
        .SelectMany(item => (KeyValuePair<string, string>[])
        [
            new($"{item.Block.SqueezeExcitationName}.down.{item.Tensor}", $"{item.Block.SqueezeLayer}.{item.Tensor}"),
            new($"{item.Block.SqueezeExcitationName}.up.{item.Tensor}", $"{item.Block.ExciteLayer}.{item.Tensor}"),
        ])
        .ToDictionary();

    /// <summary>
    /// Whether a tensor belongs to a layer that computes logits, so that its shape depends on the number of classes: the
    /// classifier or the last layer of an auxiliary head.
    /// </summary>
    public static bool GivesLogits(string name) =>
        name.StartsWith("linear.", StringComparison.Ordinal) || name.Contains($"{AuxiliarySuffix}.3.", StringComparison.Ordinal);

    /// <summary>Whether a tensor belongs to an auxiliary head, which the deploy form does not use.</summary>
    public static bool IsAuxiliary(string name)
    {
        int dot = name.IndexOf('.');
        return dot > 0 && name.AsSpan(0, dot).EndsWith(AuxiliarySuffix, StringComparison.Ordinal);
    }

    /// <summary>Number of trained values.</summary>
    public static long CountParameters(IEnumerable<StateEntry> entries) => entries.Where(entry => entry.IsParameter).Sum(entry => entry.Count);

    /// <summary>Returns the number of classes of weights, from the shape of the classifier; 0 for a backbone without one.</summary>
    /// <exception cref="ArgumentException">There is a part of a classifier, but no weight of shape [classes, features].</exception>
    public static int ClassesOf(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (!state.TryGet("linear.weight", out var weight))
        {
            return state.Contains("linear.bias")
                ? throw new ArgumentException("The weights hold a part of a classifier: 'linear.bias' without 'linear.weight'.", nameof(state))
                : 0;
        }
        return weight.Shape is [> 0, _]
            ? weight.Shape[0]
            : throw new ArgumentException($"The weights hold no classifier: 'linear.weight' is {weight}, not [classes, features].", nameof(state));
    }

    /// <summary>Returns the number of classes of weights that must have a classifier.</summary>
    /// <exception cref="ArgumentException">There is no classifier weight of shape [classes, features].</exception>
    public static int RequireClasses(StateDict state) => ClassesOf(state) is > 0 and var classes
        ? classes
        : throw new ArgumentException("The weights hold no classifier: 'linear.weight' of shape [classes, features] is missing.", nameof(state));

    /// <summary>Describes a number of classes in messages.</summary>
    public static string WithClasses(int classes) => classes > 0 ? $"with {classes} classes" : "without a classifier ('linear.weight' is missing)";

    /// <summary>Compares weights with the expected tensors of a network and reports the differences in one exception.</summary>
    /// <param name="state">The weights.</param>
    /// <param name="expected">The tensors of the network.</param>
    /// <param name="what">Description of the network for the message.</param>
    /// <param name="ignored">Returns true for additional names that are allowed.</param>
    /// <param name="advice">Returns text for the end of the message; called only if there are differences.</param>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, or have a wrong shape.</exception>
    public static void Check(StateDict state, IReadOnlyList<StateEntry> expected, string what, Func<string, bool>? ignored = null, Func<string>? advice = null)
    {
        if (Differences(state, expected, ignored) is { } differences)
            throw new ArgumentException($"The weights do not fit {what}.{differences}{advice?.Invoke()}", nameof(state));
    }

    /// <summary>Whether weights have exactly the expected names and shapes; counters are ignored.</summary>
    public static bool Fits(StateDict state, IReadOnlyList<StateEntry> expected, Func<string, bool>? ignored = null) => Differences(state, expected, ignored) is null;

    /// <summary>Describes the missing, misshapen and surplus tensors, the first of each and their number; null if there are none.</summary>
    public static string? Differences(StateDict state, IReadOnlyList<StateEntry> expected, Func<string, bool>? ignored = null)
    {
        ArgumentNullException.ThrowIfNull(state);
        var missing = new List<string>();
        var misshapen = new List<string>();
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (var entry in expected)
        {
            known.Add(entry.Name);
            if (!state.TryGet(entry.Name, out var tensor))
                missing.Add(entry.Name);
            else if (!tensor.Shape.SequenceEqual(entry.Shape))
                misshapen.Add($"{entry.Name} is {tensor}, not [{string.Join(", ", entry.Shape)}]");
        }
        var surplus = state.Names.Where(name => !known.Contains(name) && !LeftOutNames.IsNoWeight(name) && ignored?.Invoke(name) != true).ToList();
        if (missing.Count + misshapen.Count + surplus.Count == 0)
            return null;

        var text = new StringBuilder();
        Append(text, "Missing", missing);
        Append(text, "Misshapen", misshapen);
        Append(text, "Surplus", surplus);
        return text.ToString();
    }

    private static void Append(StringBuilder text, string title, List<string> names)
    {
        if (names.Count > 0)
            text.Append(CultureInfo.InvariantCulture, $" {title} ({names.Count}): {MessageText.Join(names)}.");
    }

    private static void AddSqueezeExcitation(List<StateEntry> entries, BlockSpec block, string squeeze, string excite)
    {
        if (block.SqueezeExcitation == SqueezeExcitation.None)
            return;
        int channels = block.OutputChannels, reduced = block.SqueezeWidth;
        entries.Add(new StateEntry($"{squeeze}.weight", [reduced, channels, 1, 1], StateKind.ConvWeight, channels));
        entries.Add(new StateEntry($"{squeeze}.bias", [reduced], StateKind.ConvBias, channels));
        entries.Add(new StateEntry($"{excite}.weight", [channels, reduced, 1, 1], StateKind.ConvWeight, reduced));
        entries.Add(new StateEntry($"{excite}.bias", [channels], StateKind.ConvBias, reduced));
    }

    private static void AddBranch(List<StateEntry> entries, BlockSpec block, BranchSpec branch)
    {
        int inputs = block.InputChannels;
        if (branch.First is { } first)
        {
            AddConv(entries, $"{block.Name}.{first.KernelName}", inputs, first.Channels, block.Groups, first.Size, first.Size);
            if (first.AddsInput)
                entries[^1] = entries[^1] with { Initial = 0 };
            AddNorm(entries, $"{block.Name}.{first.NormName}", first.Channels);
            inputs = first.Channels;
        }
        if (branch.KernelName is { } kernel)
        {
            AddConv(entries, $"{block.Name}.{kernel}", inputs, block.OutputChannels, block.Groups, branch.KernelHeight, branch.KernelWidth);
            entries[^1] = entries[^1] with { IsBranchKernel = true };
        }
        if (branch.Scale is { } scale)
        {
            entries.Add(new StateEntry($"{block.Name}.{scale.Name}", [block.OutputChannels], scale.IsTrained ? StateKind.Scale : StateKind.ConstantScale)
            {
                Initial = scale.Initial,
                HasWeightDecay = scale.HasWeightDecay,
            });
        }
        if (branch.NormName is { } norm)
            AddNorm(entries, $"{block.Name}.{norm}", block.OutputChannels, branch.DecaysNormWeight);
    }

    private static void AddConv(List<StateEntry> entries, string name, int inputs, int outputs, int groups, int height, int width)
    {
        int inputsPerGroup = inputs / groups;
        entries.Add(new StateEntry($"{name}.weight", [outputs, inputsPerGroup, height, width], StateKind.ConvWeight, inputsPerGroup * height * width));
    }

    private static void AddNorm(List<StateEntry> entries, string name, int channels, bool decaysWeight = false)
    {
        entries.Add(new StateEntry($"{name}.weight", [channels], StateKind.NormWeight) { HasWeightDecay = decaysWeight });
        entries.Add(new StateEntry($"{name}.bias", [channels], StateKind.NormBias));
        entries.Add(new StateEntry($"{name}.running_mean", [channels], StateKind.RunningMean));
        entries.Add(new StateEntry($"{name}.running_var", [channels], StateKind.RunningVariance));
    }

    private static void AddLinear(List<StateEntry> entries, string name, int inputs, int outputs)
    {
        entries.Add(new StateEntry($"{name}.weight", [outputs, inputs], StateKind.LinearWeight, inputs));
        entries.Add(new StateEntry($"{name}.bias", [outputs], StateKind.LinearBias, inputs));
    }
}

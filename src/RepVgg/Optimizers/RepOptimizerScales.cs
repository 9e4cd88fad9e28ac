using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Naming;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;

namespace RepVgg.Optimizers;

/// <summary>
/// The constants of RepOptimizer: for each block of a network, the scales per output channel of the 3x3 branch, the 1x1 branch and, where
/// the block has one, the identity branch of the network of branches that the optimizer imitates.
/// </summary>
/// <remarks>
/// Source: Ding et al., "Re-parameterizing Your Optimizers rather than Architectures", ICLR 2023, section 3.3. The scales belong to an
/// architecture, hardly to a data set: a search on a small set of images finds them, and they are used for any other data. The names are
/// those of the authors' files: <c>stage1.0.scale_conv.weight</c>, <c>stage1.0.scale_1x1.weight</c> and
/// <c>stage1.1.scale_identity.weight</c>, each of the shape [output channels]. Values may be negative.
/// </remarks>
public sealed class RepOptimizerScales
{
    private const string ConvolutionScale = ".scale_conv.weight", PointwiseScale = ".scale_1x1.weight", IdentityScale = ".scale_identity.weight";
    private const int StartBytes = 512;

    private readonly StateDict _state;
    private readonly string _source;

    private RepOptimizerScales(StateDict state, string source)
    {
        (_state, _source) = (state, source);
        var sorted = new StateDict();
        foreach (string name in state.Names.Order(StringComparer.Ordinal))
            sorted[name] = state[name];
        Hash = sorted.Hash();
    }

    /// <summary>Hash of the names and values, which does not depend on the order of the tensors.</summary>
    internal string Hash { get; }

    /// <summary>Reads the scales of a file: a checkpoint of the Hyper-Search network, of which only the scales are used, or the scales alone.</summary>
    /// <param name="path">A PyTorch checkpoint (.pth, .pt), also one whose weights are in a dictionary such as <c>model</c> or <c>state_dict</c>, a safetensors file, or a training checkpoint of this library. Prefixes of names, such as <c>module.</c>, are removed. The order of the tensors has no meaning.</param>
    /// <returns>The scales.</returns>
    /// <exception cref="InvalidDataException">The file has another format, is damaged, or holds no scales, or a scale is not a vector or is NaN or infinite.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static RepOptimizerScales Load(string path) => ByteSource.Use(path, file =>
    {
        try
        {
            var opened = Open(file).State;
            return Create(StatePrefixes.Remove(opened, StatePrefixes.Choose(StatePrefixes.Prefixes(opened))), $"The scales in {file.Name}");
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException($"{file.Name} cannot be used as scales of RepOptimizer: {MessageText.Reason(error)}.", error);
        }
    });

    /// <summary>Takes the scales from weights, such as those of a Hyper-Search network. The values are copied.</summary>
    /// <param name="state">Tensors under the authors' names; those that are not scales are ignored.</param>
    /// <returns>The scales.</returns>
    /// <exception cref="ArgumentException">There are no scales, or a scale is not a vector or is NaN or infinite.</exception>
    public static RepOptimizerScales FromState(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        try
        {
            return Create(state, "The scales");
        }
        catch (ArgumentException error)
        {
            throw new ArgumentException($"The scales cannot be used: {MessageText.Reason(error)}.", nameof(state), error);
        }
    }

    /// <summary>Creates the scales with which a search starts: sqrt(2 / j) for block j of a stage, 1 for its first block, and 1 for the identity branches.</summary>
    /// <param name="architecture">The architecture, in any training form.</param>
    /// <returns>The scales.</returns>
    /// <exception cref="ArgumentException">The architecture is invalid.</exception>
    public static RepOptimizerScales Initial(RepVggArchitecture architecture)
    {
        var state = new StateDict();
        foreach (var entry in Expected(architecture))
        {
            var tensor = TensorData.Zeros(entry.Shape);
            Array.Fill(tensor.Values, entry.Initial!.Value);
            state[entry.Name] = tensor;
        }
        return Create(state, "The initial scales");
    }

    /// <summary>Writes the scales under the authors' names. The file is created or replaced only when it is complete.</summary>
    /// <param name="path">The file. If its extension is <c>.safetensors</c>, it is a safetensors file; with <c>.pth</c> or <c>.pt</c>, a PyTorch checkpoint.</param>
    /// <exception cref="ArgumentException">The path has another extension.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Save(string path)
    {
        CheckExtension(path);
        if (IsSafetensors(path))
            SafetensorsWriter.Write(_state, path);
        else
            PthWriter.Write(_state, path);
    }

    /// <summary>Copies the scales, under the authors' names.</summary>
    /// <returns>The tensors.</returns>
    public StateDict ToState()
    {
        var copy = new StateDict();
        foreach (var (name, tensor) in _state)
            copy[name] = new TensorData([.. tensor.Shape], tensor.ToArray());
        return copy;
    }

    /// <summary>Checks that there are scales for every block of an architecture, of the right length, for the identity branch exactly where a block has one, and no others.</summary>
    /// <param name="architecture">The architecture, in any training form.</param>
    /// <exception cref="ArgumentException">The scales are incomplete, or those of another network; the message names the first differences and the shapes of both networks.</exception>
    public void Validate(RepVggArchitecture architecture)
    {
        if (StateLayout.Differences(_state, Expected(architecture)) is { } differences)
        {
            throw new ArgumentException(
                $"{_source} do not fit {architecture.Name}: they are incomplete, or those of another network. They are for {Shape()}; {architecture.Name} has {Shape(architecture)}.{differences} "
                + "Give the scales that were searched with this architecture.", nameof(architecture));
        }
    }

    /// <summary>Checks that <see cref="Save"/> can write a file. Call it before a long computation.</summary>
    /// <exception cref="ArgumentException">The extension is not one of those of <see cref="Save"/>.</exception>
    /// <exception cref="IOException">The file cannot be written (checked by creating a temporary file).</exception>
    internal static void CheckWritable(string path)
    {
        CheckExtension(path);
        AtomicFile.CheckWritable(path, $"The file of scales '{path}'");
    }

    private static void CheckExtension(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        if (!IsSafetensors(path) && Path.GetExtension(path).ToUpperInvariant() is not (".PTH" or ".PT"))
            throw new ArgumentException($"Scales cannot be written to '{path}': the extension must be .pth, .pt or .safetensors, which selects the format.", nameof(path));
    }

    /// <summary>The scales of the 3x3 branch of a block.</summary>
    internal float[] Convolution(BlockSpec block) => _state[block.Name + ConvolutionScale].Values;

    /// <summary>The scales of the 1x1 branch of a block.</summary>
    internal float[] Pointwise(BlockSpec block) => _state[block.Name + PointwiseScale].Values;

    /// <summary>The scales of the identity branch of a block that has one.</summary>
    internal float[] Identity(BlockSpec block) => _state[block.Name + IdentityScale].Values;

    /// <summary>Gets the tensor of a full name such as <c>stage1.0.scale_conv.weight</c>.</summary>
    internal TensorData this[string name] => _state[name];

    private static bool IsSafetensors(string path) => string.Equals(Path.GetExtension(path), ".safetensors", StringComparison.OrdinalIgnoreCase);

    private static OpenedWeights Open(ByteSource file)
    {
        byte[] start = file.Read(0, (int)Math.Min(StartBytes, file.Length));
        if (SafetensorsHeader.IsLikely(start))
            return SafetensorsReader.Open(file);
        if (start.AsSpan().StartsWith(CheckpointFile.Magic))
            return CheckpointFile.OpenWeights(file);
        if (PthReader.IsLikely(start))
            return PthReader.Open(file);
        string what = start.Length == 0 ? " is empty" : MisplacedFile.Recognize(start) is { } misplaced ? $" is {misplaced.Name}" : " has an unknown format";
        throw new InvalidDataException($"{file.Name}{what}. Scales are read from PyTorch (.pth) and safetensors files, and from this library's training checkpoints.");
    }

    /// <exception cref="ArgumentException">There are no scales, or invalid ones. The message is a clause.</exception>
    private static RepOptimizerScales Create(StateDict state, string source)
    {
        var scales = new StateDict();
        List<string> misshapen = [], invalid = [];
        foreach (var (name, tensor) in state)
        {
            if (!IsScale(name))
                continue;
            if (tensor.Shape.Count != 1)
                misshapen.Add($"{name} is {tensor}");
            float[] values = tensor.ToArray();
            if (TensorData.IndexOfNonFinite(values) is >= 0 and var index)
                invalid.Add(string.Create(CultureInfo.InvariantCulture, $"{name} has {values[index]} at index {index}"));
            scales[name] = new TensorData([.. tensor.Shape], values);
        }
        if (scales.Count == 0)
            throw new ArgumentException($"none of the {state.Count} tensors is a scale: their names end in {ConvolutionScale}, {PointwiseScale} or {IdentityScale}. They are in the checkpoint of the Hyper-Search network, not in that of the network that is trained with RepOptimizer", nameof(state));
        if (misshapen.Count > 0)
            throw new ArgumentException($"scales must be vectors, with one value per output channel: {MessageText.Join(misshapen)}", nameof(state));
        if (invalid.Count > 0)
            throw new ArgumentException($"scales must be finite numbers: {MessageText.Join(invalid)}", nameof(state));
        return new RepOptimizerScales(scales, source);
    }

    private static bool IsScale(string name) =>
        name.EndsWith(ConvolutionScale, StringComparison.Ordinal) || name.EndsWith(PointwiseScale, StringComparison.Ordinal) || name.EndsWith(IdentityScale, StringComparison.Ordinal);

    private static IReadOnlyList<StateEntry> Expected(RepVggArchitecture architecture)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        architecture.Validate();
        return [.. StateLayout.Training(architecture with { TrainingForm = TrainingForm.HyperSearch }, 0).Where(entry => entry.Kind == StateKind.Scale)];
    }

    /// <summary>Describes the blocks of the scales: their number and width by stage.</summary>
    private string Shape() => Shape(
        _state.Where(pair => pair.Key.EndsWith(ConvolutionScale, StringComparison.Ordinal)).Select(pair => (Block: pair.Key[..^ConvolutionScale.Length], Channels: pair.Value.Length)));

    private static string Shape(RepVggArchitecture architecture) =>
        Shape((architecture with { TrainingForm = TrainingForm.HyperSearch }).Blocks.Select(block => (block.Name, block.OutputChannels)));

    private static string Shape(IEnumerable<(string Block, int Channels)> blocks)
    {
        string[] stages =
        [
            .. blocks.GroupBy(block => block.Block.Split('.')[0]).OrderBy(stage => stage.Key, StringComparer.Ordinal)
                .Select(stage => $"{stage.Key}: {stage.Count()} of {string.Join(" and ", stage.Select(block => block.Channels).Distinct())} channels"),
        ];
        return stages.Length == 0 ? "no blocks" : $"the blocks {MessageText.Join(stages, 12, ", ")}";
    }
}

using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Quantizers;

/// <summary>How the activations of a network are stored as bytes. Those of layers in floating point are not used.</summary>
/// <param name="Input">The normalised input.</param>
/// <param name="Outputs">The output of each block.</param>
/// <param name="BeforeSqueeze">The map in front of the squeeze-and-excitation of each block, with its sign if the ReLU follows; null for a block without one.</param>
/// <param name="Pooled">The pooled features.</param>
internal sealed record StoredActivations(
    QuantizationParameters Input, ImmutableArray<QuantizationParameters> Outputs, ImmutableArray<QuantizationParameters?> BeforeSqueeze, QuantizationParameters Pooled)
{
    // What layers in floating point have.
    private static readonly QuantizationParameters _unused = new(1, 0);

    /// <summary>The activations of a network after quantization-aware training.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="layers">The quantized layers.</param>
    /// <param name="training">The weights of the training form, with the ranges that training measured.</param>
    /// <exception cref="ArgumentException">A range is missing, or that of the input is empty, because no step of training measured it.</exception>
    public static StoredActivations Trained(RepVggArchitecture architecture, QuantizedLayers layers, StateDict training)
    {
        var names = layers.Ranges(architecture).ToHashSet();
        return new StoredActivations(
            Find(ActivationRanges.Input) ?? _unused,
            [.. architecture.Blocks.Select(block => Find(ActivationRanges.Output(block.Name)) ?? _unused)],
            [.. architecture.Blocks.Select(block => Find(ActivationRanges.BeforeSqueeze(block.Name), block.SqueezeExcitation == SqueezeExcitation.BeforeRelu))],
            Find(ActivationRanges.Pooled) ?? _unused);

        QuantizationParameters? Find(string name, bool isSigned = false)
        {
            if (!names.Contains(name))
                return null;
            if (!training.TryGet(name, out var range) || range.Values.Length != 2)
                throw new ArgumentException($"The weights of {architecture.Name} have no tensor '{name}' of two values: they are not those of quantization-aware training with the same layers.", nameof(training));
            if (name == ActivationRanges.Input && !range.Values.AsSpan().ContainsAnyExcept(0f))
                throw new ArgumentException($"The range of the input of {architecture.Name} is empty: no training step has measured the activations.", nameof(training));
            return isSigned ? Signed(range.Values[0], range.Values[1]) : QuantizationParameters.FromRange(range.Values[0], range.Values[1]);
        }
    }

    /// <summary>The parameters of a map that a ReLU follows. The zero point 0 would limit the map to 0 or more, as the ReLU does.</summary>
    public static QuantizationParameters Signed(float minimum, float maximum)
    {
        var parameters = QuantizationParameters.FromRange(minimum, maximum);
        return parameters with { ZeroPoint = Math.Max(parameters.ZeroPoint, (byte)1) };
    }
}

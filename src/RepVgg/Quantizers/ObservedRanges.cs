using RepVgg.Architectures;
using RepVgg.Networks;

namespace RepVgg.Quantizers;

/// <summary>The ranges of all activations of a network on the calibration images, and the means of the inputs of its convolutions.</summary>
internal sealed class ObservedRanges : FloatLayers.IObserver
{
    private readonly DeployNetwork _network;
    private readonly ActivationRange[] _positive;
    private readonly ActivationRange[] _negative;
    private readonly InputMeans[]? _means;
    private readonly QuantizationOptions _options;
    private StoredActivations? _stored;

    /// <param name="network">The network.</param>
    /// <param name="images">Number of calibration images.</param>
    /// <param name="options">The calibrator, and whether the means of the inputs are needed.</param>
    public ObservedRanges(DeployNetwork network, int images, QuantizationOptions options)
    {
        _options = options;
        Images = images;
        _network = network;
        int count = network.Blocks.Length;
        Outputs = Create(count);
        (_positive, _negative) = (Create(count), Create(count));
        if (options.BiasCorrection)
        {
            _means = new InputMeans[count];
            int height = network.ImageHeight, width = network.ImageWidth;
            for (int i = 0; i < count; i++)
            {
                var shape = network.Blocks[i].Shape;
                _means[i] = new InputMeans(shape.InputChannels, height, width, shape.Geometry);
                (height, width) = (ConvolutionSize.OutputOfBlock(height, shape.Stride), ConvolutionSize.OutputOfBlock(width, shape.Stride));
            }
        }
    }

    /// <summary>False in the first pass over the images, which finds the bounds; true in the second, which counts the values.</summary>
    public bool CountsValues { get; set; }

    /// <summary>Number of calibration images.</summary>
    public int Images { get; }

    /// <summary>The normalised input.</summary>
    private ActivationRange Input { get; } = new();

    /// <summary>The output of each block.</summary>
    private ActivationRange[] Outputs { get; }

    /// <summary>The pooled features.</summary>
    private ActivationRange Pooled { get; } = new();

    /// <summary>The means of the input of a block.</summary>
    public InputMeans Means(int block) => _means![block];

    /// <summary>How the activations are stored, which the calibrator chooses after the last pass over the images.</summary>
    public StoredActivations Stored => _stored ??= new StoredActivations(
        QuantizationParameters.FromRange(Input.Minimum, Input.Maximum),
        [.. Outputs.Select(range => range.Choose(_options))],
        [.. _network.Blocks.Select((block, i) => block.Squeeze is null ? (QuantizationParameters?)null : BeforeSqueeze(block.Shape, i))],
        Pooled.Choose(_options));

    private QuantizationParameters BeforeSqueeze(BlockSpec block, int index)
    {
        var positive = _positive[index].Choose(_options);
        return block.SqueezeExcitation == SqueezeExcitation.AfterRelu
            ? positive
            : StoredActivations.Signed(-_negative[index].Maximum, _positive[index].Maximum > 0 ? positive.Scale * byte.MaxValue : 0);
    }

    void FloatLayers.IObserver.Input(ReadOnlySpan<float> map)
    {
        if (!CountsValues)
            Include(Input, map, "the input");
    }

    void FloatLayers.IObserver.Block(int block, ReadOnlySpan<float> input, int images, ReadOnlySpan<float> positive, ReadOnlySpan<float> negative, ReadOnlySpan<float> output)
    {
        string name = $"the block {_network.Blocks[block].Shape.Name}";
        Include(Outputs[block], output, name);
        if (!positive.IsEmpty)
        {
            Include(_positive[block], positive, name);
            Include(_negative[block], negative, name);
        }
        if (!CountsValues)
            _means?[block].Add(input, images);
    }

    void FloatLayers.IObserver.Pooled(ReadOnlySpan<float> features) => Include(Pooled, features, "the pooled features");

    private void Include(ActivationRange range, ReadOnlySpan<float> values, string what)
    {
        if (CountsValues)
            range.Count(values);
        else if (!range.Include(values))
            throw new ArgumentException($"{_network.Architecture.Name} cannot be quantized: {what} has values that are not finite on the calibration images.");
    }

    private static ActivationRange[] Create(int count) => [.. Enumerable.Range(0, count).Select(_ => new ActivationRange())];
}

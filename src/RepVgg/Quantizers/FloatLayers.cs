using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Weights;

namespace RepVgg.Quantizers;

/// <summary>Runs the blocks of a network one after the other in floating point, so that every activation between them can be seen.</summary>
internal sealed class FloatLayers : IDisposable
{
    // Values of the largest map of a batch, 16 MiB, which the histogram reads while it is in a cache or near it.
    private const int BatchValues = 4 << 20;

    private readonly DeployNetwork _network;
    private readonly Layer[] _layers;
    private readonly int _batch;

    /// <summary>The engines of one block: the block itself and, if it has a squeeze-and-excitation, relu(convolution) and relu(-convolution), which are what is in front of it.</summary>
    private sealed record Layer(InferenceEngine Block, InferenceEngine? Positive, InferenceEngine? Negative);

    /// <param name="network">The network.</param>
    /// <param name="threads">Maximum number of threads; 0 for all cores.</param>
    public FloatLayers(DeployNetwork network, int threads)
    {
        _network = network;
        _layers = new Layer[network.Blocks.Length];
        try
        {
            int height = network.ImageHeight, width = network.ImageWidth, largest = network.Architecture.InputChannels * height * width;
            for (int i = 0; i < _layers.Length; i++)
            {
                var block = network.Blocks[i];
                var plain = block with { Shape = block.Shape with { SqueezeExcitation = SqueezeExcitation.None }, Squeeze = null, Excite = null };
                bool isScaled = block.Squeeze is not null;
                _layers[i] = new Layer(Engine(block), isScaled ? Engine(plain) : null, isScaled ? Engine(Negated(plain)) : null);
                height = ConvolutionSize.OutputOfBlock(height, block.Shape.Stride);
                width = ConvolutionSize.OutputOfBlock(width, block.Shape.Stride);
                largest = Math.Max(largest, _layers[i].Block.OutputLength);

                InferenceEngine Engine(DeployBlock deployed) => new(Source(deployed, height, width), threads);
            }
            _batch = Math.Clamp(BatchValues / largest, 1, 64);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Receives the maps of a batch of images.</summary>
    public interface IObserver
    {
        /// <summary>The normalised input of the network.</summary>
        void Input(ReadOnlySpan<float> map);

        /// <summary>What a block computes.</summary>
        /// <param name="block">Index of the block.</param>
        /// <param name="input">Its input, [images, channels, height, width].</param>
        /// <param name="images">Number of images.</param>
        /// <param name="positive">relu(convolution), in front of a squeeze-and-excitation; empty without one.</param>
        /// <param name="negative">relu(-convolution), in front of a squeeze-and-excitation; empty without one.</param>
        /// <param name="output">Its output.</param>
        void Block(int block, ReadOnlySpan<float> input, int images, ReadOnlySpan<float> positive, ReadOnlySpan<float> negative, ReadOnlySpan<float> output);

        /// <summary>The pooled features, [images, channels].</summary>
        void Pooled(ReadOnlySpan<float> features);
    }

    /// <summary>Runs images.</summary>
    /// <param name="images">Raw pixels of each image, [channels, height, width].</param>
    /// <param name="observer">Receives the maps.</param>
    /// <param name="cancellation">Stops between two batches.</param>
    public void Run(IReadOnlyList<float[]> images, IObserver observer, CancellationToken cancellation)
    {
        for (int first = 0; first < images.Count; first += _batch)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(_batch, images.Count - first);
            float[] map = Normalize(images, first, count);
            observer.Input(map);
            for (int i = 0; i < _layers.Length; i++)
            {
                float[] output = Run(_layers[i].Block, map, count);
                float[] positive = _layers[i].Positive is { } relu ? Run(relu, map, count) : [];
                float[] negative = _layers[i].Negative is { } negated ? Run(negated, map, count) : [];
                observer.Block(i, map, count, positive, negative, output);
                map = output;
            }
            observer.Pooled(Pool(map, count * _network.Blocks[^1].Shape.OutputChannels));
        }
    }

    public void Dispose()
    {
        foreach (var layer in _layers)
        {
            layer?.Block.Dispose();
            layer?.Positive?.Dispose();
            layer?.Negative?.Dispose();
        }
    }

    private static float[] Run(InferenceEngine engine, float[] map, int count)
    {
        float[] output = new float[count * engine.OutputLength];
        engine.Run(map, count, output);
        return output;
    }

    private float[] Normalize(IReadOnlyList<float[]> images, int first, int count)
    {
        int plane = _network.ImageHeight * _network.ImageWidth, length = _network.Architecture.InputChannels * plane;
        float[] map = new float[count * length];
        for (int i = 0; i < map.Length; i++)
        {
            int channel = i % length / plane;
            map[i] = (images[first + i / length][i % length] - _network.Normalization.Mean[channel]) * _network.Normalization.Scale[channel];
        }
        return map;
    }

    private static float[] Pool(float[] map, int features)
    {
        float[] pooled = new float[features];
        int plane = map.Length / features;
        for (int i = 0; i < features; i++)
        {
            double sum = 0;
            foreach (float value in map.AsSpan(i * plane, plane))
                sum += value;
            pooled[i] = (float)(sum / plane);
        }
        return pooled;
    }

    private static NetworkSource Source(DeployBlock block, int height, int width)
    {
        var network = NetworkSource.Of(block);
        return new NetworkSource(
            block.Shape.InputChannels, height, width, Normalization.Identity(block.Shape.InputChannels), NetworkOutput.FeatureMap, [network],
            new LinearSource(block.Shape.OutputChannels, 0, TensorData.Zeros(0), TensorData.Zeros(0)));
    }

    private static DeployBlock Negated(DeployBlock block) =>
        block with { Kernel = [.. block.Kernel.Select(value => -value)], Bias = [.. block.Bias.Select(value => -value)] };
}

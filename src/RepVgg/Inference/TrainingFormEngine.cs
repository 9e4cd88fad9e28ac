using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Inference;

/// <summary>Computes the logits of images with raw pixels. Any number of threads can use an engine at the same time.</summary>
internal interface INetworkEngine : IDisposable
{
    /// <summary>Maximum number of threads for one call, including the calling thread.</summary>
    int Threads { get; }

    /// <summary>Number of output values of one image.</summary>
    int OutputLength { get; }

    /// <summary>Computes the outputs of images [count, C, H, W].</summary>
    void Run(ReadOnlySpan<float> images, int count, Span<float> logits);

    /// <summary>Computes the outputs of images [count, C, H, W] whose pixels are bytes.</summary>
    void Run(ReadOnlySpan<byte> images, int count, Span<float> logits);
}

/// <summary>Runs a network in its training form, in evaluation mode, on the CPU backend: for training forms that cannot be fused. Calls of several threads run one after the other.</summary>
internal sealed class TrainingFormEngine : INetworkEngine
{
    /// <summary>Maximum number of images that are computed at a time, and maximum number of values of all their maps together: 64 Mi values, 256 MiB.</summary>
    private const int MaximumBatch = 64;
    private const long MaximumValues = 64L << 20;

    private readonly Lock _lock = new();
    private readonly CpuBackend _backend;
    private readonly TrainingNetwork _network;
    private readonly Normalization _normalization;
    private readonly int _channels, _height, _width, _maximumBatch;
    private bool _disposed;

    /// <summary>Creates an engine.</summary>
    /// <param name="architecture">The architecture of the network.</param>
    /// <param name="weights">Weights of the training form, with a classifier.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <param name="normalization">Applied to the pixels, per channel.</param>
    /// <param name="threads">Number of threads; 0 for all cores.</param>
    /// <exception cref="ArgumentException">The weights do not fit the architecture, the image is too small, or the normalisation does not suit the network.</exception>
    public TrainingFormEngine(RepVggArchitecture architecture, StateDict weights, int imageHeight, int imageWidth, Normalization normalization, int threads = 0)
    {
        DeployNetwork.CheckInput(architecture, imageHeight, imageWidth, normalization);
        (_normalization, _channels, _height, _width) = (normalization, architecture.InputChannels, imageHeight, imageWidth);
        _maximumBatch = (int)Math.Clamp(MaximumValues / ValuesPerImage(architecture, imageHeight, imageWidth), 1, MaximumBatch);
        _backend = new CpuBackend(threads);
        _network = new TrainingNetwork(architecture, StateLayout.RequireClasses(weights), _backend, seed: 0);
        _network.ImportState(weights);
    }

    /// <inheritdoc/>
    public int Threads => _backend.Threads;

    /// <inheritdoc/>
    public int OutputLength => _network.Classes;

    /// <inheritdoc/>
    public void Run(ReadOnlySpan<float> images, int count, Span<float> logits)
    {
        int area = _height * _width, length = _channels * area;
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            for (int first = 0, batch; first < count; first += batch)
            {
                batch = Math.Min(_maximumBatch, count - first);
                float[] pixels = images.Slice(first * length, batch * length).ToArray();
                for (int plane = 0; plane < batch * _channels; plane++)
                {
                    float mean = _normalization.Mean[plane % _channels], scale = _normalization.Scale[plane % _channels];
                    foreach (ref float pixel in pixels.AsSpan(plane * area, area))
                        pixel = (pixel - mean) * scale;
                }
                using var step = _backend.BeginStep(training: false);
                var output = _network.Forward(_backend.CreateInput([batch, _channels, _height, _width], pixels));
                _backend.CopyOut(output, logits.Slice(first * OutputLength, batch * OutputLength));
            }
        }
    }

    /// <inheritdoc/>
    public void Run(ReadOnlySpan<byte> images, int count, Span<float> logits)
    {
        var pixels = new float[images.Length];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = images[i];
        Run(pixels, count, logits);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            _network.Dispose();
            _backend.Dispose();
        }
    }

    /// <summary>Estimates the number of values of the maps of one image, all of which exist until the step ends.</summary>
    internal static long ValuesPerImage(RepVggArchitecture architecture, int height, int width)
    {
        long values = (long)architecture.InputChannels * height * width;
        foreach (var block in architecture.Blocks)
        {
            long inputArea = (long)height * width;
            (height, width) = (ConvolutionSize.OutputOfBlock(height, block.Stride), ConvolutionSize.OutputOfBlock(width, block.Stride));
            long area = (long)height * width;
            // A branch and its addition are two maps, and a first layer with batch norm and ReLU or border three. The sum has a batch norm and a ReLU.
            values += (2 * block.Branches.Length + 2) * block.OutputChannels * area;
            foreach (var first in block.Branches.Select(branch => branch.First).OfType<FirstLayerSpec>())
                values += 3 * first.Channels * (first.Relu ? area : inputArea);
        }
        return values;
    }
}

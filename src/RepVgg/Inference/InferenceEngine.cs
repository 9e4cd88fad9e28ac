using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32;
using RepVgg.Inference.Int8;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Threading;
using RepVgg.Weights;
using RepVgg.Weights.Files;

namespace RepVgg.Inference;

/// <summary>Runs a fused RepVGG network on the CPU.</summary>
/// <remarks>
/// An engine is immutable and can be used by any number of threads concurrently. Each call rents a workspace from a pool in
/// the engine; no memory is allocated if the pool has a workspace that is large enough. Workspaces that were not needed for
/// 128 calls or some 10 seconds are freed. The logits of an image are bit-identical for any number of threads and any batch that
/// contains the image. They can differ by rounding between machines with different vector instructions. An engine that is
/// not disposed is freed by the garbage collector, which is told how much native memory it holds.
/// </remarks>
public sealed class InferenceEngine : INetworkEngine
{
    private readonly PlanRunner _runner;
    private readonly bool _isQuantized;

    /// <summary>Creates an engine for a network and packs the weights in the order in which the kernels read them.</summary>
    /// <param name="network">The network; it is not changed.</param>
    /// <param name="threads">Maximum number of threads for one call, including the calling thread; 0 for all cores.</param>
    /// <exception cref="ArgumentNullException"><paramref name="network"/> is null.</exception>
    /// <exception cref="ArgumentException">The parts of the network do not fit together, or its images are larger than any engine can run.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="threads"/> is negative or more than 1024.</exception>
    /// <exception cref="InsufficientMemoryException">The memory for the network and one image is not available.</exception>
    public InferenceEngine(DeployNetwork network, int threads = 0)
        : this(network, threads, VectorWidths.Widest)
    {
    }

    /// <summary>Creates an engine for a quantized network, whose convolutions it computes in integers.</summary>
    /// <remarks>All integers, and so the logits of a network without layers in floating point, are the same on all machines.</remarks>
    /// <param name="network">The network; it is not changed.</param>
    /// <param name="threads">Maximum number of threads for one call, including the calling thread; 0 for all cores.</param>
    /// <exception cref="ArgumentNullException"><paramref name="network"/> is null.</exception>
    /// <exception cref="ArgumentException">The parts of the network do not fit together, or its images are larger than any engine can run.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="threads"/> is negative or more than 1024.</exception>
    /// <exception cref="InsufficientMemoryException">The memory for the network and one image is not available.</exception>
    public InferenceEngine(QuantizedNetwork network, int threads = 0)
        : this(network, threads, QuantizedPlanBuilder.Fastest)
    {
    }

    internal InferenceEngine(QuantizedNetwork network, int threads, IntegerInstructions instructions, WeightsFileLimits? limits = null)
        : this(Source(network), threads, source => QuantizedPlanBuilder.Build(instructions, network, source), limits)
    {
    }

    /// <summary>Creates an engine for a quantized network from a file.</summary>
    /// <exception cref="InvalidDataException">One image needs more memory than <paramref name="limits"/> allow. The message contains only the reason.</exception>
    internal InferenceEngine(QuantizedNetwork network, int threads, WeightsFileLimits? limits)
        : this(network, threads, QuantizedPlanBuilder.Fastest, limits)
    {
    }

    internal InferenceEngine(DeployNetwork network, int threads, VectorWidth width, StrategyChoice? choose = null)
        : this(Source(network), threads, source => PlanBuilder.Build(width, source, choose), null)
    {
    }

    /// <summary>Creates an engine for a network whose weights are read while it is created.</summary>
    internal InferenceEngine(NetworkSource network, int threads)
        : this(network, threads, Build, null)
    {
    }

    /// <summary>Creates an engine for a network from a file.</summary>
    /// <exception cref="InvalidDataException">One image needs more memory than <paramref name="limits"/> allow. The message contains only the reason.</exception>
    internal InferenceEngine(DeployNetwork network, int threads, WeightsFileLimits? limits)
        : this(Source(network), threads, Build, limits)
    {
    }

    private InferenceEngine(NetworkSource network, int threads, Func<NetworkSource, Plan> build, WeightsFileLimits? limits)
    {
        Threads = ThreadCount.Resolve(threads);
        InputChannels = network.InputChannels;
        ImageHeight = network.ImageHeight;
        ImageWidth = network.ImageWidth;
        InputLength = network.InputLength;
        Output = network.Output;
        OutputLength = network.OutputLength;
        _isQuantized = network.Quantized is not null;
        _runner = new PlanRunner(this, ImageHeight, ImageWidth, Threads, () => build(network), limits);
    }

    /// <summary>
    /// Creates an engine for the network in a file. The weights are packed directly from the file, so that memory holds only
    /// one copy of them.
    /// </summary>
    /// <remarks>
    /// A file that was written less than 20 ms and 1 ms per MiB ago, at most 100 ms, is opened after that time, because another write at the same time could not be noticed otherwise. A
    /// time stamp in the future, such as of a network drive whose clock is ahead, disables that protection.
    /// </remarks>
    /// <param name="path">An ONNX file, which may be quantized, or any other file that <see cref="WeightsFile.ReadDeployNetwork(string, WeightsFileOptions)"/> reads.</param>
    /// <param name="options">What the file does not say; null for nothing. What is assumed then is in <see cref="Assumptions"/>.</param>
    /// <param name="threads">Maximum number of threads for one call, including the calling thread; 0 for all cores.</param>
    /// <returns>The engine.</returns>
    /// <exception cref="InvalidDataException">The file has an unknown format, is damaged, or contains no RepVGG network; or its images exceed the limits of the options.</exception>
    /// <exception cref="InsufficientMemoryException">The memory for the network and one image is not available.</exception>
    /// <exception cref="ArgumentException">An option is invalid or contradicts the file, or neither specifies the normalization of the network's input.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="threads"/> is negative or more than 1024.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static InferenceEngine Open(string path, WeightsFileOptions? options = null, int threads = 0) => JitWarmup.RunDuring(
        () => WarmupNetwork.CompileKernels(VectorWidths.Widest),
        () => WeightsFile.Use(path, options, (network, assumptions) => new InferenceEngine(network, threads, Build, (options ?? new WeightsFileOptions()).Limits) { Assumptions = assumptions }));

    /// <summary>Creates an engine for the network in a file, as <see cref="Open(string, WeightsFileOptions, int)"/> does without options.</summary>
    /// <param name="path">The file.</param>
    /// <param name="threads">Maximum number of threads for one call, including the calling thread; 0 for all cores.</param>
    /// <returns>The engine.</returns>
    public static InferenceEngine Open(string path, int threads) => Open(path, null, threads);

    /// <summary>What was assumed about the file that the network was opened from, because neither the file nor the options say it; empty if nothing was, and for a network from memory.</summary>
    public IReadOnlyList<WeightsAssumption> Assumptions { get; private init; } = [];

    /// <summary>Number of channels of an image.</summary>
    public int InputChannels { get; }

    /// <summary>Height of an image in pixels.</summary>
    public int ImageHeight { get; }

    /// <summary>Width of an image in pixels.</summary>
    public int ImageWidth { get; }

    /// <summary>The kind of the network's output: logits or features.</summary>
    public NetworkOutput Output { get; }

    /// <summary>Number of pixel values of one image: channels * height * width.</summary>
    public int InputLength { get; }

    /// <summary>Number of classes (logits of one image); 0 if the network outputs features.</summary>
    public int Classes => Output == NetworkOutput.Logits ? OutputLength : 0;

    /// <summary>Number of output values of one image: logits or features.</summary>
    public int OutputLength { get; }

    /// <summary>Maximum number of threads for one call, including the calling thread.</summary>
    public int Threads { get; }

    /// <summary>Computes the logits of a batch of images, or the features if the network outputs features.</summary>
    /// <param name="images">Raw pixels, [count, C, H, W], usually 0 to 255; this method applies the network's normalization.</param>
    /// <param name="count">Number of images; for 0 the method does nothing.</param>
    /// <param name="logits">Receives the logits [count, classes], or the features: [count, channels] or [count, channels, height, width].</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    /// <exception cref="ArgumentException">The length of a span does not match <paramref name="count"/> images.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed.</exception>
    public unsafe void Run(ReadOnlySpan<float> images, int count, Span<float> logits)
    {
        fixed (float* pixels = images)
            Run(new PixelPointer(pixels), images.Length, count, logits);
        if (_isQuantized)
            InvalidateResults(images, count, logits);
    }

    /// <summary>Computes the logits of a batch of images whose pixels are bytes, or the features if the network outputs features.</summary>
    /// <remarks>The results are bit-identical to those of the same pixels as floats.</remarks>
    /// <param name="images">Raw pixels, [count, C, H, W], 0 to 255; this method applies the network's normalization.</param>
    /// <param name="count">Number of images; for 0 the method does nothing.</param>
    /// <param name="logits">Receives the logits [count, classes], or the features: [count, channels] or [count, channels, height, width].</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    /// <exception cref="ArgumentException">The length of a span does not match <paramref name="count"/> images.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed.</exception>
    public unsafe void Run(ReadOnlySpan<byte> images, int count, Span<float> logits)
    {
        fixed (byte* pixels = images)
            Run(new PixelPointer(pixels), images.Length, count, logits);
    }

    /// <summary>Frees the weights and the workspaces. If runs are in progress, the memory is freed when the last of them finishes.</summary>
    public void Dispose() => _runner.Dispose();

    private unsafe void Run(PixelPointer images, int length, int count, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        CheckLength(length, count, InputLength, "pixel values", nameof(images));
        CheckLength(logits.Length, count, OutputLength, Output == NetworkOutput.Logits ? "logits" : "features", nameof(logits));
        fixed (float* target = logits)
            _runner.Run(images, count, (byte*)target, (long)OutputLength * sizeof(float));
    }

    /// <summary>Makes the results of images with pixels that are not finite NaN, as they are in floating point. Bytes cannot hold such pixels.</summary>
    private void InvalidateResults(ReadOnlySpan<float> images, int count, Span<float> results)
    {
        for (int image = 0; image < count; image++)
        {
            if (TensorData.IndexOfNonFinite(images.Slice(image * InputLength, InputLength)) >= 0)
                results.Slice(image * OutputLength, OutputLength).Fill(float.NaN);
        }
    }

    private static Plan Build(NetworkSource network) => network.Quantized is { } quantized
        ? QuantizedPlanBuilder.Build(QuantizedPlanBuilder.Fastest, quantized, network)
        : PlanBuilder.Build(VectorWidths.Widest, network);

    private static NetworkSource Source(DeployNetwork network)
    {
        ArgumentNullException.ThrowIfNull(network);
        return NetworkSource.Of(network);
    }

    private static NetworkSource Source(QuantizedNetwork network)
    {
        ArgumentNullException.ThrowIfNull(network);
        return NetworkSource.Of(network);
    }

    /// <summary>Checks the length of a span of all images.</summary>
    internal static void CheckLength(int actual, int count, int each, string what, string parameter)
    {
        if (actual != (long)count * each)
            throw new ArgumentException($"{count} images need {(long)count * each} {what} ({each} each), but the span has {actual}.", parameter);
    }
}

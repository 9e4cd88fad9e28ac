using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Threading;
using RepVgg.Weights;

namespace RepVgg.Inference;

/// <summary>Runs a fused PSPNet on the CPU: gives every pixel of an image its class.</summary>
/// <remarks>
/// An engine is immutable and can be used by any number of threads concurrently. No memory is allocated for a call if the pool in the engine has a workspace that is large enough. The masks and logits of an image are bit-identical for any
/// number of threads and any batch that contains the image; they can differ by rounding between machines with different vector instructions.
/// </remarks>
public sealed class SegmentationEngine : IDisposable
{
    private readonly PlanRunner _runner;

    /// <summary>Creates an engine for a network and packs the weights in the order in which the kernels read them.</summary>
    /// <param name="network">The network; it is not changed.</param>
    /// <param name="threads">Maximum number of threads for one call, including the calling thread; 0 for all cores.</param>
    /// <exception cref="ArgumentNullException"><paramref name="network"/> is null.</exception>
    /// <exception cref="ArgumentException">The parts of the network do not fit together, a weight is not finite, or its images are larger than any engine can run.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="threads"/> is negative or more than 1024.</exception>
    /// <exception cref="InsufficientMemoryException">The memory for the network and one image is not available.</exception>
    public SegmentationEngine(SegmentationNetwork network, int threads = 0)
        : this(network, threads, VectorWidths.Widest)
    {
    }

    /// <summary>Creates an engine for a network that was read from a file.</summary>
    /// <exception cref="InvalidDataException">One image needs more memory than <paramref name="limits"/> allow. The message contains only the reason.</exception>
    internal SegmentationEngine(SegmentationNetwork network, int threads, WeightsFileLimits? limits)
        : this(network, threads, VectorWidths.Widest, limits: limits)
    {
    }

    internal SegmentationEngine(SegmentationNetwork network, int threads, VectorWidth width, StrategyChoice? choose = null, WeightsFileLimits? limits = null)
    {
        ArgumentNullException.ThrowIfNull(network);
        network.Check();
        Threads = ThreadCount.Resolve(threads);
        (Classes, ImageHeight, ImageWidth, InputChannels) = (network.Classes, network.ImageHeight, network.ImageWidth, network.Architecture.Backbone.InputChannels);
        _runner = new PlanRunner(this, ImageHeight, ImageWidth, Threads, () => PlanBuilder.Build(width, network, choose), limits);
    }

    /// <summary>Number of classes.</summary>
    public int Classes { get; }

    /// <summary>Number of channels of an image.</summary>
    public int InputChannels { get; }

    /// <summary>Height of an image and of its mask in pixels.</summary>
    public int ImageHeight { get; }

    /// <summary>Width of an image and of its mask in pixels.</summary>
    public int ImageWidth { get; }

    /// <summary>Maximum number of threads for one call, including the calling thread.</summary>
    public int Threads { get; }

    /// <summary>Number of pixel values of one image: channels * height * width.</summary>
    public int InputLength => InputChannels * MaskLength;

    /// <summary>Number of pixels of one mask: height * width.</summary>
    public int MaskLength => ImageHeight * ImageWidth;

    /// <summary>Computes the class of every pixel of a batch of images. Of classes with the same logit, the first is chosen.</summary>
    /// <remarks>Pixel values so large that logits overflow give a class that has no meaning.</remarks>
    /// <param name="images">Raw pixels, [count, C, H, W], usually 0 to 255; this method applies the network's normalization.</param>
    /// <param name="count">Number of images; for 0 the method does nothing.</param>
    /// <param name="masks">Receives the classes, [count, H, W].</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    /// <exception cref="ArgumentException">The length of a span does not match <paramref name="count"/> images, or a pixel is not finite.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed.</exception>
    public unsafe void Run(ReadOnlySpan<float> images, int count, Span<byte> masks)
    {
        // A mask cannot say that its pixels have no class.
        if (TensorData.IndexOfNonFinite(images) is >= 0 and var index)
            throw new ArgumentException($"Image {index / InputLength} has a pixel value that is not finite, at index {index % InputLength}.", nameof(images));
        fixed (float* pixels = images)
            RunMasks(new PixelPointer(pixels), images.Length, count, masks);
    }

    /// <summary>Computes the class of every pixel of a batch of images whose pixels are bytes, as <see cref="Run(ReadOnlySpan{float}, int, Span{byte})"/> does.</summary>
    /// <param name="images">Raw pixels, [count, C, H, W].</param>
    /// <param name="count">Number of images; for 0 the method does nothing.</param>
    /// <param name="masks">Receives the classes, [count, H, W].</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    /// <exception cref="ArgumentException">The length of a span does not match <paramref name="count"/> images.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed.</exception>
    public unsafe void Run(ReadOnlySpan<byte> images, int count, Span<byte> masks)
    {
        fixed (byte* pixels = images)
            RunMasks(new PixelPointer(pixels), images.Length, count, masks);
    }

    /// <summary>Computes the logits of every pixel of a batch of images. A pixel value that is not finite makes logits of its image NaN or infinite.</summary>
    /// <param name="images">Raw pixels, [count, C, H, W], usually 0 to 255.</param>
    /// <param name="count">Number of images; for 0 the method does nothing.</param>
    /// <param name="logits">Receives the logits, [count, classes, H, W].</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    /// <exception cref="ArgumentException">The length of a span does not match <paramref name="count"/> images.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed.</exception>
    public unsafe void RunLogits(ReadOnlySpan<float> images, int count, Span<float> logits)
    {
        fixed (float* pixels = images)
            RunLogits(new PixelPointer(pixels), images.Length, count, logits);
    }

    /// <summary>Computes the logits of every pixel of a batch of images whose pixels are bytes, as <see cref="RunLogits(ReadOnlySpan{float}, int, Span{float})"/> does.</summary>
    /// <param name="images">Raw pixels, [count, C, H, W].</param>
    /// <param name="count">Number of images; for 0 the method does nothing.</param>
    /// <param name="logits">Receives the logits, [count, classes, H, W].</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    /// <exception cref="ArgumentException">The length of a span does not match <paramref name="count"/> images.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed.</exception>
    public unsafe void RunLogits(ReadOnlySpan<byte> images, int count, Span<float> logits)
    {
        fixed (byte* pixels = images)
            RunLogits(new PixelPointer(pixels), images.Length, count, logits);
    }

    /// <summary>Frees the weights and the workspaces. If runs are in progress, the memory is freed when the last of them finishes.</summary>
    public void Dispose() => _runner.Dispose();

    private unsafe void RunMasks(PixelPointer images, int length, int count, Span<byte> masks)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        InferenceEngine.CheckLength(length, count, InputLength, "pixel values", nameof(images));
        InferenceEngine.CheckLength(masks.Length, count, MaskLength, "classes", nameof(masks));
        fixed (byte* target = masks)
            _runner.Run(images, count, target, MaskLength, (int)SegmentationResult.Mask);
    }

    private unsafe void RunLogits(PixelPointer images, int length, int count, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if ((long)Classes * MaskLength > Array.MaxLength)
            throw new ArgumentException($"An image has {(long)Classes * MaskLength} logits, more than a span can hold. Compute masks instead.", nameof(logits));
        InferenceEngine.CheckLength(length, count, InputLength, "pixel values", nameof(images));
        InferenceEngine.CheckLength(logits.Length, count, Classes * MaskLength, "logits", nameof(logits));
        fixed (float* target = logits)
            _runner.Run(images, count, (byte*)target, (long)Classes * MaskLength * sizeof(float), (int)SegmentationResult.Logits);
    }
}

using RepVgg.Formats;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Threading;

namespace RepVgg.Inference;

/// <summary>Runs a fused RepVGG on the CPU.</summary>
/// <remarks>
/// An engine is immutable and may be used by any number of threads at once; each call takes scratch memory from a pool
/// inside the engine, and nothing is allocated once the pool is warm. An image's logits are the same bits whatever the
/// number of threads and whatever else is in the batch; they may differ in the last places between machines with
/// different vector instructions.
/// </remarks>
public sealed class InferenceEngine : IDisposable
{
    private readonly Plan _plan;
    private readonly WorkspacePool _workspaces;

    // One for the owner and one for each run under way; memory is freed when it falls to zero.
    private int _users = 1;
    private int _disposed;

    /// <summary>Prepares a network: packs its weights in the order in which the kernels read them.</summary>
    /// <param name="network">The network; it is not changed.</param>
    /// <param name="threads">Most threads that work on one call, the calling one included; 0 for all cores.</param>
    /// <exception cref="ArgumentNullException"><paramref name="network"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="threads"/> is negative or more than 1024.</exception>
    public InferenceEngine(DeployNetwork network, int threads = 0)
        : this(network, threads, VectorWidths.Widest)
    {
    }

    internal InferenceEngine(DeployNetwork network, int threads, VectorWidth width, StrategyChoice? choose = null)
        : this(Source(network), threads, width, choose)
    {
    }

    private InferenceEngine(NetworkSource network, int threads, VectorWidth width, StrategyChoice? choose)
    {
        Threads = ThreadCount.Resolve(threads);
        InputChannels = network.InputChannels;
        ImageHeight = network.ImageHeight;
        ImageWidth = network.ImageWidth;
        InputLength = network.InputLength;
        Output = network.Output;
        OutputLength = network.OutputLength;
        _plan = width.Plan(network, Threads, choose);
        _workspaces = new WorkspacePool(_plan, Threads);
        var workspace = _workspaces.Rent(1);
        _plan.Fill(network, Threads, workspace);
        _workspaces.Return(workspace);
    }

    /// <summary>Opens a network from a file. Its weights go straight from the file into the order in which the kernels read them, and are held once.</summary>
    /// <param name="path">An ONNX file; or any other that <see cref="WeightsFile.ReadDeployNetwork"/> reads.</param>
    /// <param name="threads">Most threads that work on one call, the calling one included; 0 for all cores.</param>
    /// <returns>The engine.</returns>
    /// <exception cref="InvalidDataException">The file is of no known format, is damaged, or holds no RepVGG.</exception>
    /// <exception cref="ArgumentException">The file does not say how its network's input is normalised.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="threads"/> is negative or more than 1024.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static InferenceEngine Open(string path, int threads = 0) =>
        Rehearsal.Beside(VectorWidths.Widest, () => WeightsFile.Use(path, network => new InferenceEngine(network, threads, VectorWidths.Widest, null)));

    /// <summary>Channels of an image.</summary>
    public int InputChannels { get; }

    /// <summary>Height of an image in pixels.</summary>
    public int ImageHeight { get; }

    /// <summary>Width of an image in pixels.</summary>
    public int ImageWidth { get; }

    /// <summary>What the network gives.</summary>
    public NetworkOutput Output { get; }

    /// <summary>Values of one image: channels * height * width.</summary>
    public int InputLength { get; }

    /// <summary>Logits of one image; 0 where the network gives features.</summary>
    public int Classes => Output == NetworkOutput.Logits ? OutputLength : 0;

    /// <summary>Values that the network gives for one image: logits, or features.</summary>
    public int OutputLength { get; }

    /// <summary>Most threads that work on one call, the calling one included.</summary>
    public int Threads { get; }

    /// <summary>Computes the logits of a batch of images, or their features where the network gives those.</summary>
    /// <param name="images">[count, C, H, W] raw pixels, usually 0..255; the network's normalisation is applied here.</param>
    /// <param name="count">Number of images; 0 does nothing.</param>
    /// <param name="logits">Receives [count, classes]; of feature networks [count, channels] or [count, channels, height, width].</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    /// <exception cref="ArgumentException">A span's length is not what <paramref name="count"/> images need.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed.</exception>
    public unsafe void Run(ReadOnlySpan<float> images, int count, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        CheckLength(images.Length, count, InputLength, "pixel values", nameof(images));
        CheckLength(logits.Length, count, OutputLength, Output == NetworkOutput.Logits ? "logits" : "features", nameof(logits));
        Enter();
        try
        {
            if (count == 0)
                return;
            var workspace = _workspaces.Rent(count);
            fixed (float* source = images, target = logits)
            {
                for (int first = 0; first < count; first += workspace.Capacity)
                {
                    workspace.Run(
                        source + (long)first * InputLength, target + (long)first * OutputLength, Math.Min(workspace.Capacity, count - first));
                }
            }
            _workspaces.Return(workspace);
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Frees the weights and scratch memory; runs under way finish first.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
            Leave();
    }

    private static NetworkSource Source(DeployNetwork network)
    {
        ArgumentNullException.ThrowIfNull(network);
        return NetworkSource.Of(network);
    }

    private static void CheckLength(int actual, int count, int each, string what, string parameter)
    {
        if (actual != (long)count * each)
            throw new ArgumentException($"{count} images need {(long)count * each} {what} ({each} each), but the span has {actual}.", parameter);
    }

    private void Enter()
    {
        int users = Volatile.Read(ref _users);
        while (true)
        {
            ObjectDisposedException.ThrowIf(users == 0 || Volatile.Read(ref _disposed) != 0, this);
            int seen = Interlocked.CompareExchange(ref _users, users + 1, users);
            if (seen == users)
                return;
            users = seen;
        }
    }

    private void Leave()
    {
        if (Interlocked.Decrement(ref _users) > 0)
            return;
        _workspaces.Dispose();
        _plan.Dispose();
    }
}

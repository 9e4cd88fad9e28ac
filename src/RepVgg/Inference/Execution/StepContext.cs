using RepVgg.Runtime.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>The execution context of steps: a range of images, their buffers and the private workspaces of the workers.</summary>
/// <param name="addresses">Address of each buffer, indexed by <see cref="BufferId"/>.</param>
/// <param name="workspaces">Address of the first worker's private workspace.</param>
/// <param name="workspacePitch">Floats from one worker's workspace to the next worker's.</param>
/// <param name="work">The run whose threads process these images together; null if a single thread processes them.</param>
internal sealed unsafe class StepContext(nint[] addresses, float* workspaces, long workspacePitch, ParallelWork? work)
{
    /// <summary>Number of images.</summary>
    public int Images { get; private set; }

    /// <summary>Raw input pixels of the images, [image][channel][row][column] (NCHW).</summary>
    public PixelPointer Pixels { get; private set; }

    /// <summary>Receives the results of the images: logits or features. Null in the leading stage, which writes no results.</summary>
    public float* Results { get; private set; }

    /// <summary>The kind of results, for plans that have several: steps of another kind have no items.</summary>
    public int ResultKind { get; set; }

    /// <summary>Maximum number of threads that process the images.</summary>
    public int Threads => work?.Threads ?? 1;

    /// <summary>Address of a buffer.</summary>
    public float* this[BufferId buffer] => (float*)addresses[(int)buffer];

    /// <summary>Address of a worker's private workspace.</summary>
    public float* Workspace(int worker) => workspaces + workspacePitch * worker;

    /// <summary>Sets the images that the steps process next.</summary>
    public void SetImages(PixelPointer pixels, float* results, int images)
    {
        Pixels = pixels;
        Results = results;
        Images = images;
    }

    /// <summary>Sets the address of a buffer.</summary>
    public void SetBuffer(BufferId buffer, float* start) => addresses[(int)buffer] = (nint)start;
}

/// <summary>Indices of the buffers in a <see cref="StepContext"/>.</summary>
internal enum BufferId
{
    /// <summary>The normalised input.</summary>
    Input,

    /// <summary>Per-channel averages of a map (global average pooling).</summary>
    Pooled,

    /// <summary>Per-channel factors of a squeeze-and-excitation module.</summary>
    ChannelScales,

    /// <summary>The first activation map; higher indices are the other maps.</summary>
    FirstMap,
}

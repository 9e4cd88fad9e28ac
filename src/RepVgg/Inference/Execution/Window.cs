using RepVgg.Runtime.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>The execution context of steps: a range of images, their buffers and the scratch memory of the workers.</summary>
/// <param name="at">Address of each buffer, indexed by <see cref="BufferId"/>.</param>
/// <param name="scratch">Address of the first worker's private scratch memory.</param>
/// <param name="scratchPitch">Floats from one worker's scratch memory to the next worker's.</param>
/// <param name="sharers">The run whose threads process these images together; null if a single thread processes them.</param>
internal sealed unsafe class Window(nint[] at, float* scratch, long scratchPitch, SharedWork? sharers)
{
    /// <summary>Number of images.</summary>
    public int Images { get; private set; }

    /// <summary>Raw input pixels of the images, [image][channel][row][column] (NCHW).</summary>
    public PixelPointer Pixels { get; private set; }

    /// <summary>Receives the results of the images: logits or features. Null in the leading stage, which writes no results.</summary>
    public float* Logits { get; private set; }

    /// <summary>Maximum number of threads that process the images.</summary>
    public int Threads => sharers?.Threads ?? 1;

    /// <summary>Number of threads assigned to the images in the current run.</summary>
    public int Workers => sharers?.Workers ?? 1;

    /// <summary>Address of a buffer.</summary>
    public float* this[BufferId buffer] => (float*)at[(int)buffer];

    /// <summary>Address of a worker's private scratch memory.</summary>
    public float* Scratch(int worker) => scratch + scratchPitch * worker;

    /// <summary>Sets the images that the steps process next.</summary>
    public void Open(PixelPointer pixels, float* logits, int images)
    {
        Pixels = pixels;
        Logits = logits;
        Images = images;
    }

    /// <summary>Sets the address of a buffer.</summary>
    public void Move(BufferId buffer, float* start) => at[(int)buffer] = (nint)start;
}

using RepVgg.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>The images that steps work on, and the buffers that hold what becomes of them.</summary>
/// <param name="at">Start of each buffer.</param>
/// <param name="scratch">Start of the first worker's private scratch.</param>
/// <param name="scratchPitch">Floats from one worker's scratch to the next one's.</param>
/// <param name="sharers">The work that several threads do on these images together; null where one thread has them to itself.</param>
internal sealed unsafe class Window(nint[] at, float* scratch, long scratchPitch, SharedWork? sharers)
{
    /// <summary>How many images there are.</summary>
    public int Images { get; private set; }

    /// <summary>Their pixels.</summary>
    public float* Pixels { get; private set; }

    /// <summary>Where their results go.</summary>
    public float* Logits { get; private set; }

    /// <summary>Most threads that work on them.</summary>
    public int Threads => sharers?.Threads ?? 1;

    /// <summary>Threads that were asked to work on them this time.</summary>
    public int Workers => sharers?.Workers ?? 1;

    /// <summary>Start of a buffer.</summary>
    public float* this[BufferId buffer] => (float*)at[(int)buffer];

    /// <summary>Start of a worker's private scratch.</summary>
    public float* Scratch(int worker) => scratch + scratchPitch * worker;

    /// <summary>Opens the window on some images.</summary>
    public void Open(float* pixels, float* logits, int images)
    {
        Pixels = pixels;
        Logits = logits;
        Images = images;
    }

    /// <summary>Has a buffer begin elsewhere.</summary>
    public void Move(BufferId buffer, float* start) => at[(int)buffer] = (nint)start;
}

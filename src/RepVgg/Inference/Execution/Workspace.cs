using RepVgg.Memory;

namespace RepVgg.Inference.Execution;

/// <summary>The buffers of one run at a time: planned once, used by one caller and the workers that help it.</summary>
internal sealed unsafe class Workspace : IDisposable
{
    private readonly Plan _plan;
    private readonly NativeBuffer _memory;
    private readonly StepRunner _runner;
    private readonly long[] _offsets;
    private readonly long _scratchOffset;
    private readonly long _scratchPitch;

    /// <param name="plan">What the buffers are for.</param>
    /// <param name="capacity">Most images at a time.</param>
    /// <param name="workers">Most workers on one run.</param>
    public Workspace(Plan plan, int capacity, int workers)
    {
        _plan = plan;
        Capacity = capacity;
        _offsets = new long[plan.BufferFloats.Length];
        long offset = 0;
        for (int i = 0; i < _offsets.Length; i++)
        {
            _offsets[i] = offset;
            offset += RoundUp(plan.BufferFloats[i] * capacity);
        }
        _scratchOffset = offset;
        _scratchPitch = RoundUp(plan.ScratchFloats);
        _memory = new NativeBuffer(offset + _scratchPitch * workers);
        _runner = new StepRunner(plan.Steps, this, workers);
    }

    /// <summary>Most images that fit.</summary>
    public int Capacity { get; }

    /// <summary>Images of the current run.</summary>
    public int Images { get; private set; }

    /// <summary>Threads that were asked to work on the current run.</summary>
    public int Workers => _runner.Workers;

    /// <summary>The current run's pixels.</summary>
    public float* Pixels { get; private set; }

    /// <summary>The current run's results.</summary>
    public float* Logits { get; private set; }

    /// <summary>Start of a shared buffer.</summary>
    public float* this[BufferId buffer] => _memory.Pointer + _offsets[(int)buffer];

    /// <summary>Start of a worker's private scratch.</summary>
    public float* Scratch(int worker) => _memory.Pointer + _scratchOffset + _scratchPitch * worker;

    /// <summary>Runs the plan on up to <see cref="Capacity"/> images.</summary>
    public void Run(float* pixels, float* logits, int images)
    {
        Pixels = pixels;
        Logits = logits;
        Images = images;
        _runner.Run();
    }

    /// <summary>The steps whose rehearsal has the runtime compile all that a run of one image needs: one of every kind and shape.</summary>
    public List<Step> Rehearsals()
    {
        var steps = new List<Step>();
        foreach (var step in _plan.Steps)
        {
            bool known = false;
            foreach (var other in steps)
                known |= other.IsLike(step);
            if (!known)
                steps.Add(step);
        }
        return steps;
    }

    /// <summary>Sets what rehearsals read and write.</summary>
    /// <param name="pixels">One image.</param>
    /// <param name="logits">Room for one image's results.</param>
    public void Prepare(float* pixels, float* logits)
    {
        Pixels = pixels;
        Logits = logits;
        Images = 1;
    }

    /// <summary>Runs the first and the last item of a step on whatever the buffers hold.</summary>
    /// <param name="step">The step.</param>
    /// <param name="worker">Index of the private scratch.</param>
    public void Rehearse(Step step, int worker)
    {
        int items = step.CountItems(Images);
        if (items > 0)
            step.RunItem(this, 0, worker);
        if (items > 1)
            step.RunItem(this, items - 1, worker);
    }

    public void Dispose() => _memory.Dispose();

    private static long RoundUp(long floats) => (floats + 255) / 256 * 256;
}

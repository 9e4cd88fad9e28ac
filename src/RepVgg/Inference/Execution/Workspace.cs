using RepVgg.Memory;

namespace RepVgg.Inference.Execution;

/// <summary>The memory of one run at a time: planned once, used by one caller and the workers that help it.</summary>
internal sealed unsafe class Workspace : IDisposable
{
    private readonly Plan _plan;
    private readonly NativeBuffer _memory;
    private readonly StepRunner _runner;

    // All images. In the leading steps: those that workers take for their own, what each has of them at a time, and the
    // rest, which the workers share.
    private readonly Window _all;
    private readonly Window _apart;
    private readonly Window[] _own;
    private readonly Window _rest;
    private readonly DepthFirstStep _depthFirst;

    /// <param name="plan">What the memory is for.</param>
    /// <param name="capacity">Most images at a time.</param>
    /// <param name="workers">Most workers on one run.</param>
    /// <param name="depthFirst">Whether workers may take images of their own through the leading steps.</param>
    public Workspace(Plan plan, int capacity, int workers, bool depthFirst = true)
    {
        _plan = plan;
        Capacity = capacity;
        depthFirst &= capacity >= workers && plan.Leading.Steps.Length > 0;
        int together = depthFirst ? Math.Min(plan.ImagesTogether, (capacity + workers - 1) / workers) : 0;
        _runner = new StepRunner(plan.Steps.Length + 1, workers);

        long total = 0;
        long[] all = Offsets(plan.Trailing, capacity), rest = Offsets(plan.Leading, depthFirst ? workers - 1 : capacity);
        var own = new long[depthFirst ? workers : 0][];
        for (int worker = 0; worker < own.Length; worker++)
            own[worker] = Offsets(plan.Leading, together, isShared: false);
        long scratchOffset = total, scratchPitch = RoundUp(plan.ScratchFloats);
        _memory = new NativeBuffer(total + scratchPitch * workers);
        float* scratch = _memory.Pointer + scratchOffset;

        _all = new Window(Addresses(all), scratch, scratchPitch, _runner);
        _apart = new Window(Addresses(all), scratch, scratchPitch, _runner);
        _rest = new Window(Addresses(rest), scratch, scratchPitch, _runner);
        _own = Array.ConvertAll(own, offsets => new Window(Addresses(offsets), scratch, scratchPitch, null));
        _depthFirst = new DepthFirstStep(plan, _own, together);

        long[] Offsets(Stage stage, int images, bool isShared = true)
        {
            var offsets = new long[stage.BufferFloats.Length];
            for (int i = 0; i < offsets.Length; i++)
            {
                offsets[i] = total;
                if (isShared || (BufferId)i is not (BufferId.Transformed or BufferId.Sums or BufferId.Counters))
                    total += RoundUp(stage.BufferFloats[i] * images);
            }
            return offsets;
        }

        nint[] Addresses(long[] offsets) => Array.ConvertAll(offsets, offset => (nint)(_memory.Pointer + offset));
    }

    /// <summary>Most images that fit.</summary>
    public int Capacity { get; }

    /// <summary>Runs the plan on up to <see cref="Capacity"/> images.</summary>
    public void Run(float* pixels, float* logits, int images)
    {
        int apart = _own.Length > 0 ? images - images % _own.Length : 0;
        _apart.Open(pixels, null, apart);
        Open(pixels, logits, images, apart);
        _runner.Clear();
        if (apart > 0)
            _runner.Add(_depthFirst, _apart);
        if (apart < images)
            _runner.Add(_plan.Leading.Steps, _rest);
        _runner.Add(_plan.Trailing.Steps, _all);
        try
        {
            _runner.Run();
        }
        catch
        {
            ClearCounters();
            throw;
        }
    }

    /// <summary>Sets what steps read and write where each is run by itself.</summary>
    public void Open(float* pixels, float* logits, int images)
    {
        Open(pixels, logits, images, 0);
        foreach (var window in _own)
        {
            window.Open(pixels, null, 1);
            window.Move(_plan.Between, _all[_plan.Between]);
        }
    }

    /// <summary>The window that a step is run on by itself.</summary>
    /// <param name="step">The step.</param>
    /// <param name="worker">Who runs it.</param>
    public Window WindowOf(Step step, int worker) =>
        Array.IndexOf(_plan.Leading.Steps, step) < 0 ? _all : _own.Length > 0 ? _own[worker] : _rest;

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

    /// <summary>Runs the first and the last item of a step on whatever the buffers hold.</summary>
    /// <param name="step">The step.</param>
    /// <param name="worker">Index of the private scratch.</param>
    public void Rehearse(Step step, int worker)
    {
        var window = WindowOf(step, worker);
        int items = step.CountItems(window);
        if (items > 0)
            step.RunItem(window, 0, worker);
        if (items > 1)
            step.RunItem(window, items - 1, worker);
    }

    /// <summary>Forgets what steps have counted that came to no end.</summary>
    public void ClearCounters()
    {
        Clear(_all, _plan.Trailing, Capacity);
        Clear(_rest, _plan.Leading, _own.Length > 0 ? _own.Length - 1 : Capacity);

        static void Clear(Window window, Stage stage, int images)
        {
            if (stage.BufferFloats.Length > (int)BufferId.Counters)
                new Span<float>(window[BufferId.Counters], (int)stage.BufferFloats[(int)BufferId.Counters] * images).Clear();
        }
    }

    public void Dispose() => _memory.Dispose();

    private void Open(float* pixels, float* logits, int images, int apart)
    {
        _all.Open(pixels, logits, images);
        _rest.Open(pixels + (long)apart * _plan.InputLength, null, images - apart);
        _rest.Move(_plan.Between, _all[_plan.Between] + apart * _plan.Trailing.BufferFloats[(int)_plan.Between]);
    }

    private static long RoundUp(long floats) => (floats + 255) / 256 * 256;
}

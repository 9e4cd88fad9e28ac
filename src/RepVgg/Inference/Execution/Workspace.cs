using RepVgg.Runtime.Memory;

namespace RepVgg.Inference.Execution;

/// <summary>The preallocated memory of a run: buffers for a fixed number of images and scratch memory. It serves one run at a time.</summary>
internal sealed unsafe class Workspace : IDisposable
{
    private readonly Plan _plan;
    private readonly NativeBuffer _memory;
    private readonly StepRunner _runner;

    // _all: all images, for the trailing steps. For the leading steps: _apart has the images that are processed depth-first,
    // _own is each worker's current group of them, and _rest has the remaining images, which the workers process together.
    private readonly Window _all;
    private readonly Window _apart;
    private readonly Window[] _own;
    private readonly Window _rest;
    private readonly DepthFirstStep _depthFirst;

    /// <param name="plan">The plan to allocate memory for.</param>
    /// <param name="capacity">Maximum number of images in a run.</param>
    /// <param name="workers">Maximum number of threads for one run.</param>
    /// <param name="depthFirst">Whether each worker may run the leading steps on its own images; see <see cref="DepthFirstStep"/>.</param>
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

    /// <summary>Maximum number of images in a run.</summary>
    public int Capacity { get; }

    /// <summary>Runs the plan on up to <see cref="Capacity"/> images.</summary>
    public void Run(PixelPointer pixels, float* logits, int images)
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

    /// <summary>Sets the input and output of all windows for steps that are run individually.</summary>
    public void Open(PixelPointer pixels, float* logits, int images)
    {
        Open(pixels, logits, images, 0);
        foreach (var window in _own)
        {
            window.Open(pixels, null, 1);
            window.Move(_plan.Between, _all[_plan.Between]);
        }
    }

    /// <summary>The window to pass to a step that is run individually.</summary>
    /// <param name="step">The step.</param>
    /// <param name="worker">Index of the worker that runs it.</param>
    public Window WindowOf(Step step, int worker) =>
        Array.IndexOf(_plan.Leading.Steps, step) < 0 ? _all : _own.Length > 0 ? _own[worker] : _rest;

    /// <summary>
    /// Steps for the JIT warm-up: one step of every type and block shape. Running them compiles all kernels that a run of one
    /// image needs.
    /// </summary>
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

    /// <summary>Runs the first and the last item of a step for the JIT warm-up, on the current contents of the buffers.</summary>
    /// <param name="step">The step.</param>
    /// <param name="worker">Index of the worker, which selects its private scratch memory.</param>
    public void Rehearse(Step step, int worker)
    {
        var window = WindowOf(step, worker);
        int items = step.CountItems(window);
        if (items > 0)
            step.RunItem(window, 0, worker);
        if (items > 1)
            step.RunItem(window, items - 1, worker);
    }

    /// <summary>Resets all <see cref="BufferId.Counters"/> to zero, after steps that did not run all of their items.</summary>
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

    private void Open(PixelPointer pixels, float* logits, int images, int apart)
    {
        _all.Open(pixels, logits, images);
        _rest.Open(pixels.Skip((long)apart * _plan.InputLength), null, images - apart);
        _rest.Move(_plan.Between, _all[_plan.Between] + apart * _plan.Trailing.BufferFloats[(int)_plan.Between]);
    }

    private static long RoundUp(long floats) => (floats + 255) / 256 * 256;
}

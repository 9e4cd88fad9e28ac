using RepVgg.Runtime.Memory;

namespace RepVgg.Inference.Execution;

/// <summary>The preallocated memory of a run: buffers for a fixed number of images and a private workspace per worker. It serves one run at a time.</summary>
internal sealed unsafe class Workspace : IDisposable
{
    private readonly Plan _plan;
    private readonly NativeBuffer _memory;
    private readonly StepRunner _runner;

    // _batch: all images, for the trailing steps. For the leading steps: _grouped has the images that are processed
    // depth-first, _perWorker is each worker's current group of them, and _remainder has the remaining images, which the
    // workers process together.
    private readonly StepContext _batch;
    private readonly StepContext _grouped;
    private readonly StepContext[] _perWorker;
    private readonly StepContext _remainder;
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
        int imagesPerGroup = depthFirst ? Math.Min(plan.ImagesPerGroup, (capacity + workers - 1) / workers) : 0;
        _runner = new StepRunner(plan.Steps.Length + 1, workers);

        long total = 0;
        long[] batch = Offsets(plan.Trailing, capacity), remainder = Offsets(plan.Leading, depthFirst ? workers - 1 : capacity);
        var perWorker = new long[depthFirst ? workers : 0][];
        for (int worker = 0; worker < perWorker.Length; worker++)
            perWorker[worker] = Offsets(plan.Leading, imagesPerGroup);
        long privateOffset = total, privatePitch = RoundUp(plan.WorkspaceFloats);
        _memory = new NativeBuffer(total + privatePitch * workers);
        float* privateStart = _memory.Pointer + privateOffset;

        _batch = new StepContext(Addresses(batch), privateStart, privatePitch, _runner);
        _grouped = new StepContext(Addresses(batch), privateStart, privatePitch, _runner);
        _remainder = new StepContext(Addresses(remainder), privateStart, privatePitch, _runner);
        _perWorker = Array.ConvertAll(perWorker, offsets => new StepContext(Addresses(offsets), privateStart, privatePitch, null));
        _depthFirst = new DepthFirstStep(plan, _perWorker, imagesPerGroup);

        long[] Offsets(Stage stage, int images)
        {
            var offsets = new long[stage.BufferFloats.Length];
            for (int i = 0; i < offsets.Length; i++)
            {
                offsets[i] = total;
                total += RoundUp(stage.BufferFloats[i] * images);
            }
            return offsets;
        }

        nint[] Addresses(long[] offsets) => Array.ConvertAll(offsets, offset => (nint)(_memory.Pointer + offset));
    }

    /// <summary>Counts the floats of a workspace that does not run steps depth-first.</summary>
    /// <remarks>As a double, which does not overflow.</remarks>
    /// <param name="plan">The plan.</param>
    /// <param name="capacity">Maximum number of images in a run.</param>
    /// <param name="workers">Maximum number of threads for one run.</param>
    public static double CountFloats(Plan plan, int capacity, int workers) =>
        plan.Leading.BufferFloats.Concat(plan.Trailing.BufferFloats).Sum(floats => (double)floats) * capacity + (double)plan.WorkspaceFloats * workers;

    /// <summary>Maximum number of images in a run.</summary>
    public int Capacity { get; }

    /// <summary>Runs the plan on up to <see cref="Capacity"/> images.</summary>
    /// <param name="pixels">The images.</param>
    /// <param name="results">Receives the results.</param>
    /// <param name="images">Number of images.</param>
    /// <param name="kind">The kind of results, for plans that have several.</param>
    public void Run(PixelPointer pixels, float* results, int images, int kind = 0)
    {
        _batch.ResultKind = kind;
        int grouped = _perWorker.Length > 0 ? images - images % _perWorker.Length : 0;
        _grouped.SetImages(pixels, null, grouped);
        SetImages(pixels, results, images, grouped);
        _runner.Clear();
        if (grouped > 0)
            _runner.Add(_depthFirst, _grouped);
        if (grouped < images)
            _runner.Add(_plan.Leading.Steps, _remainder);
        _runner.Add(_plan.Trailing.Steps, _batch);
        _runner.Run();
    }

    /// <summary>Sets the input and output of all contexts for steps that are run individually.</summary>
    public void SetImages(PixelPointer pixels, float* results, int images)
    {
        SetImages(pixels, results, images, 0);
        foreach (var context in _perWorker)
        {
            context.SetImages(pixels, null, 1);
            context.SetBuffer(_plan.StageBoundary, _batch[_plan.StageBoundary]);
        }
    }

    /// <summary>The context to pass to a step that is run individually.</summary>
    /// <param name="step">The step.</param>
    /// <param name="worker">Index of the worker that runs it.</param>
    public StepContext ContextOf(Step step, int worker) =>
        Array.IndexOf(_plan.Leading.Steps, step) < 0 ? _batch : _perWorker.Length > 0 ? _perWorker[worker] : _remainder;

    /// <summary>
    /// Steps for the JIT warm-up: one step of every type and block shape. Running them compiles all kernels that a run of one
    /// image needs.
    /// </summary>
    public List<Step> WarmupSteps()
    {
        var steps = new List<Step>();
        foreach (var step in _plan.Steps)
        {
            bool isCovered = false;
            foreach (var other in steps)
                isCovered |= other.UsesKernelsOf(step);
            if (!isCovered)
                steps.Add(step);
        }
        return steps;
    }

    /// <summary>Runs the first and the last item of a step for the JIT warm-up, on the current contents of the buffers.</summary>
    /// <param name="step">The step.</param>
    /// <param name="worker">Index of the worker, which selects its private workspace.</param>
    public void WarmUp(Step step, int worker)
    {
        var context = ContextOf(step, worker);
        int items = step.CountItems(context);
        if (items > 0)
            step.RunItem(context, 0, worker);
        if (items > 1)
            step.RunItem(context, items - 1, worker);
    }

    public void Dispose() => _memory.Dispose();

    private void SetImages(PixelPointer pixels, float* results, int images, int grouped)
    {
        _batch.SetImages(pixels, results, images);
        _remainder.SetImages(pixels.Skip((long)grouped * _plan.InputLength), null, images - grouped);
        _remainder.SetBuffer(_plan.StageBoundary, _batch[_plan.StageBoundary] + grouped * _plan.Trailing.BufferFloats[(int)_plan.StageBoundary]);
    }

    private static long RoundUp(long floats) => (floats + 255) / 256 * 256;
}

namespace RepVgg.Inference.Execution;

/// <summary>
/// The parts of a plan while it is built, whatever the type of its elements: the steps of both stages, the buffers of the maps, the workspace and the memory of
/// the weights. All sizes are in floats, that is, in units of four bytes.
/// </summary>
internal sealed class PlanParts
{
    // The leading stage ends before the first layer with more than MaximumLeadingWeights weights. A thread runs up to
    // MaximumImagesPerGroup images through that stage together, fewer if the input and output maps of a layer would exceed
    // MaximumCachedFloats floats.
    private const int MaximumLeadingWeights = 200_000;
    private const int MaximumImagesPerGroup = 8;
    private const int MaximumCachedFloats = 384 << 10;

    private readonly StageBuilder _leading = new();
    private readonly StageBuilder _trailing = new();
    private readonly Dictionary<object, (BufferId First, BufferId Second)> _maps = [];
    private StageBuilder _stage;
    private int _bufferCount = (int)BufferId.FirstMap;
    private BufferId _boundary;
    private long _largest;
    private long _workspaceFloats;

    public PlanParts() => _stage = _leading;

    /// <summary>Allocates the memory of the weights and packs them later.</summary>
    public WeightArena Weights { get; } = new();

    /// <summary>Adds a step to the current stage.</summary>
    /// <param name="step">The step.</param>
    /// <param name="workspaceFloats">The private workspace that each worker needs for it.</param>
    public void Add(Step step, long workspaceFloats = 0)
    {
        _stage.Steps.Add(step);
        _workspaceFloats = Math.Max(_workspaceFloats, workspaceFloats);
    }

    /// <summary>Reserves memory for one image in a buffer of the current stage.</summary>
    public void Reserve(BufferId buffer, long floats) => _stage.Reserve(buffer, floats);

    /// <summary>
    /// Reserves a buffer for a map. Maps of the same layout alternate between two buffers, so that a step never overwrites its input; maps of different layouts
    /// have different buffers, so that the zeros of their borders stay.
    /// </summary>
    /// <param name="layout">The layout, which is compared by its value.</param>
    /// <param name="floats">Size of the map of one image.</param>
    /// <param name="source">The buffer with the input of the step that writes the map.</param>
    public BufferId MapBuffer(object layout, long floats, BufferId source)
    {
        if (!_maps.TryGetValue(layout, out var buffers))
        {
            buffers = (BufferId.Input + _bufferCount, BufferId.Input + _bufferCount + 1);
            _bufferCount += 2;
            _maps.Add(layout, buffers);
        }
        var target = source == buffers.First ? buffers.Second : buffers.First;
        Reserve(target, floats);
        return target;
    }

    /// <summary>Starts the trailing stage in front of a block with many weights.</summary>
    /// <param name="weights">Number of weights of the block's convolution.</param>
    /// <param name="buffer">The buffer with the block's input.</param>
    /// <param name="floats">Size of that map of one image.</param>
    public void BeginBlock(long weights, BufferId buffer, long floats)
    {
        if (weights > MaximumLeadingWeights)
            BeginTrailing(buffer, floats);
    }

    /// <summary>Counts the maps that a block reads and writes, which limit the number of images that run through the leading stage together.</summary>
    /// <param name="floats">Size of the maps of one image.</param>
    public void CountMaps(long floats)
    {
        if (_stage == _leading)
            _largest = Math.Max(_largest, floats);
    }

    /// <summary>Starts the trailing stage, unless it has begun.</summary>
    /// <param name="buffer">The buffer with its input.</param>
    /// <param name="floats">Size of that map of one image.</param>
    public void BeginTrailing(BufferId buffer, long floats)
    {
        if (_stage == _trailing)
            return;
        _stage = _trailing;
        _boundary = buffer;
        Reserve(buffer, floats);
    }

    /// <summary>Builds the plan. The trailing stage must have begun.</summary>
    /// <param name="inputLength">Pixel values of one image.</param>
    /// <param name="outputLength">Results of one image.</param>
    public Plan Build(int inputLength, int outputLength)
    {
        _leading.Release(_boundary);
        return new Plan(
            _leading.Build(_bufferCount), _trailing.Build(_bufferCount), _boundary, (int)Math.Clamp(MaximumCachedFloats / Math.Max(_largest, 1), 1, MaximumImagesPerGroup),
            inputLength, outputLength, _workspaceFloats, Weights);
    }
}

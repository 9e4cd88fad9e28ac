using System.Runtime.Intrinsics;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>Builds the execution plan of a deploy network (steps and buffer sizes).</summary>
internal static class PlanBuilder
{
    /// <summary>Builds the plan of a network. The weights are not packed yet; see <see cref="Plan.PackWeights"/>.</summary>
    /// <param name="width">The vector width of the kernels.</param>
    /// <param name="network">The network.</param>
    /// <param name="choose">Chooses the algorithm of each convolution; <see cref="ConvolutionStrategies.Choose"/> if null.</param>
    public static Plan Build(VectorWidth width, NetworkSource network, StrategyChoice? choose = null) => width switch
    {
        VectorWidth.Bits512 => PlanBuilder<Vector512<float>, Lanes512>.Build(network, choose ?? ConvolutionStrategies.Choose),
        VectorWidth.Bits256 => PlanBuilder<Vector256<float>, Lanes256>.Build(network, choose ?? ConvolutionStrategies.Choose),
        _ => PlanBuilder<Vector128<float>, Lanes128>.Build(network, choose ?? ConvolutionStrategies.Choose),
    };
}

/// <summary>Builds the execution plan of a deploy network for one vector width.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed class PlanBuilder<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // The leading stage ends before the first layer with more than MaximumLeadingWeights weights. A thread runs up to
    // MaximumImagesPerGroup images through that stage together, fewer if the input and output maps of a layer would exceed
    // MaximumCachedFloats floats.
    private const int MaximumLeadingWeights = 200_000;
    private const int MaximumImagesPerGroup = 8;
    private const int MaximumCachedFloats = 384 << 10;

    private readonly StageBuilder _leading = new();
    private readonly StageBuilder _trailing = new();
    private readonly Dictionary<MapLayout, (BufferId First, BufferId Second)> _maps = [];
    private readonly WeightArena _weights = new();
    private readonly StrategyChoice _choose;
    private StageBuilder _stage;
    private int _bufferCount = (int)BufferId.FirstMap;
    private FilterPanels? _previousFilters;
    private long _workspaceFloats;

    private PlanBuilder(StrategyChoice choose)
    {
        _choose = choose;
        _stage = _leading;
    }

    /// <summary>Builds the plan of a network.</summary>
    /// <param name="network">The network.</param>
    /// <param name="choose">Chooses the algorithm of each convolution.</param>
    public static Plan Build(NetworkSource network, StrategyChoice choose) =>
        new PlanBuilder<TVector, TLanes>(choose).Add(network);

    private Plan Add(NetworkSource network)
    {
        int channels = network.InputChannels;
        var map = new MapLayout(channels, network.ImageHeight, network.ImageWidth, Lanes: channels);
        var buffer = BufferId.Input;
        Reserve(buffer, map.ImagePitch);
        _stage.Steps.Add(new NormalizeStep<TVector, TLanes>(map, network.Normalization));
        var boundary = buffer;
        long largest = map.ImagePitch;
        foreach (var block in network.Blocks)
        {
            if (_stage == _leading && 9L * block.Shape.InputChannels / block.Shape.Groups * block.Shape.OutputChannels > MaximumLeadingWeights)
                boundary = StartTrailingStage(map, buffer);
            int height = ConvolutionSize.OutputOfBlock(map.Height, block.Shape.Stride), width = ConvolutionSize.OutputOfBlock(map.Width, block.Shape.Stride);
            var output = new MapLayout(block.Shape.OutputChannels, height, width, TLanes.Width);
            var target = MapBuffer(output, buffer);
            bool reluFollowsScaling = block.Shape.SqueezeExcitation == SqueezeExcitation.BeforeRelu;
            AddConvolution(block, map, output, buffer, target, relu: !reluFollowsScaling);
            if (block.Squeeze is not null && block.Excite is not null)
                AddSqueezeExcitation(block.Squeeze, block.Excite, output, target, reluFollowsScaling);
            if (_stage == _leading)
                largest = Math.Max(largest, map.ImagePitch + output.ImagePitch);
            (map, buffer) = (output, target);
        }
        if (_stage == _leading)
            boundary = StartTrailingStage(map, buffer);
        AddOutput(network, map, buffer);
        _leading.Release(boundary);
        return new Plan(
            _leading.Build(_bufferCount), _trailing.Build(_bufferCount), boundary, (int)Math.Clamp(MaximumCachedFloats / largest, 1, MaximumImagesPerGroup),
            network.InputLength, network.OutputLength, _workspaceFloats, _weights);
    }

    // Starts the trailing stage and reserves the buffer with its input.
    private BufferId StartTrailingStage(MapLayout map, BufferId buffer)
    {
        _stage = _trailing;
        Reserve(buffer, map.ImagePitch);
        return buffer;
    }

    private void AddOutput(NetworkSource network, MapLayout map, BufferId buffer)
    {
        if (network.Output == NetworkOutput.FeatureMap)
        {
            _stage.Steps.Add(new FeatureMapOutputStep(map, buffer));
            return;
        }
        AddPool(map, buffer);
        _stage.Steps.Add(network.Output == NetworkOutput.Logits
            ? new ClassifierStep<TVector, TLanes>(network.Classifier, map.Blocks * map.Lanes, _weights)
            : new PooledOutputStep(map));
    }

    private void AddConvolution(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu)
    {
        switch (_choose(block.Shape, output.Height, output.Width))
        {
            case ConvolutionStrategy.Winograd when block.Shape.Stride == 2:
                var strided = new StridedWinogradStep<TVector, TLanes>(block, input, output, source, target, relu, _weights);
                _workspaceFloats = Math.Max(_workspaceFloats, strided.WorkspaceFloats);
                _stage.Steps.Add(strided);
                LinkFilters(strided.Filters);
                break;
            case ConvolutionStrategy.Winograd:
                var winograd = new WinogradStep<TVector, TLanes>(block, input, output, source, target, relu, _weights);
                _workspaceFloats = Math.Max(_workspaceFloats, winograd.WorkspaceFloats);
                _stage.Steps.Add(winograd);
                LinkFilters(winograd.Filters);
                break;
            default:
                var direct = new DirectConvolutionStep<TVector, TLanes>(block, input, output, source, target, relu, _weights);
                _stage.Steps.Add(direct);
                LinkFilters(direct.Filters);
                break;
        }
    }

    private void LinkFilters(FilterPanels filters)
    {
        if (_previousFilters is not null)
            _previousFilters.Next = filters;
        _previousFilters = filters;
    }

    private void AddSqueezeExcitation(LinearSource squeeze, LinearSource excite, MapLayout map, BufferId buffer, bool reluAfter)
    {
        AddPool(map, buffer);
        var squeezeExcitation = new SqueezeExcitationStep<TVector, TLanes>(squeeze, excite, _weights);
        Reserve(BufferId.ChannelScales, map.Blocks * map.Lanes);
        _workspaceFloats = Math.Max(_workspaceFloats, squeezeExcitation.WorkspaceFloats);
        _stage.Steps.Add(squeezeExcitation);
        _stage.Steps.Add(new ChannelScaleStep<TVector, TLanes>(map, buffer, reluAfter));
    }

    private void AddPool(MapLayout map, BufferId buffer)
    {
        Reserve(BufferId.Pooled, map.Blocks * map.Lanes);
        _stage.Steps.Add(new GlobalPoolStep<TVector, TLanes>(map, buffer));
    }

    // Maps of the same layout alternate between two buffers, so that a step never overwrites its input.
    private BufferId MapBuffer(MapLayout layout, BufferId source)
    {
        if (!_maps.TryGetValue(layout, out var buffers))
        {
            buffers = (BufferId.Input + _bufferCount, BufferId.Input + _bufferCount + 1);
            _bufferCount += 2;
            _maps.Add(layout, buffers);
        }
        var target = source == buffers.First ? buffers.Second : buffers.First;
        Reserve(target, layout.ImagePitch);
        return target;
    }

    private void Reserve(BufferId buffer, long floats) => _stage.Reserve(buffer, floats);
}

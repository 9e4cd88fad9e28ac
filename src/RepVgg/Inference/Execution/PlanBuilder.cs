using RepVgg.Architectures;
using RepVgg.Inference.Kernels;
using RepVgg.Inference.Layers;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Execution;

/// <summary>Builds the execution plan of a deploy network (steps and buffer sizes) for one vector width.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed class PlanBuilder<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // The leading stage ends before the first layer with more than FewTaps weights. A thread runs up to MostTogether images
    // through that stage together, fewer if the input and output maps of a layer would exceed CachedFloats floats.
    private const int FewTaps = 200_000;
    private const int MostTogether = 8;
    private const int CachedFloats = 384 << 10;

    private readonly StageBuilder _leading = new();
    private readonly StageBuilder _trailing = new();
    private readonly Dictionary<MapLayout, (BufferId First, BufferId Second)> _maps = [];
    private readonly NativeArena _weights = new();
    private readonly int _threads;
    private readonly StrategyChoice _choose;
    private StageBuilder _stage;
    private int _bufferCount = (int)BufferId.FirstMap;
    private FilterPanels? _last;
    private long _scratch;

    private PlanBuilder(int threads, StrategyChoice choose)
    {
        _threads = threads;
        _choose = choose;
        _stage = _leading;
    }

    /// <summary>Builds the plan of a network.</summary>
    /// <param name="network">The network.</param>
    /// <param name="threads">Maximum number of threads for one run.</param>
    /// <param name="choose">Chooses the algorithm of each convolution.</param>
    public static Plan Build(NetworkSource network, int threads, StrategyChoice choose) =>
        new PlanBuilder<TVector, TLanes>(threads, choose).Add(network);

    private Plan Add(NetworkSource network)
    {
        int channels = network.InputChannels;
        var map = new MapLayout(channels, network.ImageHeight, network.ImageWidth, Lanes: channels);
        var buffer = BufferId.Input;
        Reserve(buffer, map.ImagePitch);
        _stage.Steps.Add(new NormalizeStep<TVector, TLanes>(map, network.Normalization));
        var between = buffer;
        long largest = map.ImagePitch;
        foreach (var block in network.Blocks)
        {
            if (_stage == _leading && 9L * block.Shape.InputChannels / block.Shape.Groups * block.Shape.OutputChannels > FewTaps)
                between = Trail(map, buffer);
            int height = ConvolutionSize.OutputOfBlock(map.Height, block.Shape.Stride), width = ConvolutionSize.OutputOfBlock(map.Width, block.Shape.Stride);
            var output = new MapLayout(block.Shape.OutputChannels, height, width, TLanes.Width);
            var target = MapBuffer(output, buffer);
            bool gateFirst = block.Shape.SqueezeExcitation == SqueezeExcitation.BeforeRelu;
            AddConvolution(block, map, output, buffer, target, relu: !gateFirst);
            if (block.Squeeze is not null && block.Excite is not null)
                AddGates(block.Squeeze, block.Excite, output, target, gateFirst);
            if (_stage == _leading)
                largest = Math.Max(largest, map.ImagePitch + output.ImagePitch);
            (map, buffer) = (output, target);
        }
        if (_stage == _leading)
            between = Trail(map, buffer);
        AddOutput(network, map, buffer);
        _leading.Release(between);
        return new Plan(
            _leading.Build(_bufferCount), _trailing.Build(_bufferCount), between, (int)Math.Clamp(CachedFloats / largest, 1, MostTogether),
            network.InputLength, _scratch, _weights);
    }

    // Starts the trailing stage and reserves the buffer with its input.
    private BufferId Trail(MapLayout map, BufferId buffer)
    {
        _stage = _trailing;
        Reserve(buffer, map.ImagePitch);
        return buffer;
    }

    private void AddOutput(NetworkSource network, MapLayout map, BufferId buffer)
    {
        if (network.Output == NetworkOutput.FeatureMap)
        {
            _stage.Steps.Add(new FeatureMapStep(map, buffer));
            return;
        }
        AddPool(map, buffer);
        _stage.Steps.Add(network.Output == NetworkOutput.Logits
            ? new ClassifierStep<TVector, TLanes>(network.Classifier, map.Blocks * map.Lanes, _weights)
            : new PooledFeaturesStep(map));
    }

    private void AddConvolution(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu)
    {
        switch (_choose(block.Shape, output.Height, output.Width))
        {
            case ConvolutionStrategy.Winograd when block.Shape.Stride == 2:
                var strided = new StridedWinogradStep<TVector, TLanes>(block, input, output, source, target, relu, _weights);
                _scratch = Math.Max(_scratch, strided.ScratchFloats);
                _stage.Steps.Add(strided);
                Follow(strided.Filters);
                break;
            case ConvolutionStrategy.Winograd:
                AddWinograd(block, input, output, source, target, relu);
                break;
            default:
                var direct = new DirectConvolutionStep<TVector, TLanes>(block, input, output, source, target, relu, _weights);
                _stage.Steps.Add(direct);
                Follow(direct.Filters);
                break;
        }
    }

    private void AddWinograd(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu)
    {
        var rows = new WinogradAxis(output.Height);
        var columns = new WinogradAxis(output.Width);
        var filters = new FilterPanels(
            block, TLanes.Width, TLanes.Width, Panels<TVector, TLanes>.VectorsOfPoints, FilterOrder.WinogradRows, _weights);
        var layout = new WinogradLayout(rows, columns, input.Blocks, input.Lanes, filters.Count);
        Reserve(BufferId.Transformed, layout.ImageFloats(_threads));
        var transform = new WinogradInputStep<TVector, TLanes>(block.Shape, layout, input, source);
        _stage.Steps.Add(transform);
        var multiply = new WinogradMultiplyStep<TVector, TLanes>(block.Shape, filters, layout, transform, output, target, relu);
        Reserve(BufferId.Sums, multiply.SharedSumsFloats(_threads, out long counterFloats));
        Reserve(BufferId.Counters, counterFloats);
        _scratch = Math.Max(_scratch, multiply.ScratchFloats);
        _stage.Steps.Add(multiply);
        Follow(filters);
    }

    private void Follow(FilterPanels filters)
    {
        if (_last is not null)
            _last.Following = filters;
        _last = filters;
    }

    private void AddGates(LinearSource squeeze, LinearSource excite, MapLayout map, BufferId buffer, bool reluAfter)
    {
        AddPool(map, buffer);
        var gates = new GateStep<TVector, TLanes>(squeeze, excite, _weights);
        Reserve(BufferId.Gates, map.Blocks * map.Lanes);
        _scratch = Math.Max(_scratch, gates.ScratchFloats);
        _stage.Steps.Add(gates);
        _stage.Steps.Add(new ScaleStep<TVector, TLanes>(map, buffer, reluAfter));
    }

    private void AddPool(MapLayout map, BufferId buffer)
    {
        Reserve(BufferId.Pooled, map.Blocks * map.Lanes);
        _stage.Steps.Add(new PoolStep<TVector, TLanes>(map, buffer));
    }

    // Maps of the same layout alternate between two buffers, so that a step never overwrites its input.
    private BufferId MapBuffer(MapLayout layout, BufferId source)
    {
        if (!_maps.TryGetValue(layout, out var pair))
        {
            pair = (BufferId.Input + _bufferCount, BufferId.Input + _bufferCount + 1);
            _bufferCount += 2;
            _maps.Add(layout, pair);
        }
        var target = source == pair.First ? pair.Second : pair.First;
        Reserve(target, layout.ImagePitch);
        return target;
    }

    private void Reserve(BufferId buffer, long floats) => _stage.Reserve(buffer, floats);
}

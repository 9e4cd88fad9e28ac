using RepVgg.Architectures;
using RepVgg.Inference.Layers;
using RepVgg.Networks;
using RepVgg.Simd;

namespace RepVgg.Inference.Execution;

/// <summary>Turns a deploy network into steps and buffer sizes for one vector width.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed class PlanBuilder<TVector, TLanes>(int threads, StrategyChoice choose)
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private readonly List<Step> _steps = [];
    private readonly List<long> _buffers = [.. new long[(int)BufferId.FirstMap]];
    private readonly Dictionary<MapLayout, (BufferId First, BufferId Second)> _maps = [];
    private readonly NativeArena _weights = new();
    private FilterPanels? _last;
    private long _scratch;

    /// <param name="network">The network.</param>
    /// <param name="threads">Threads that will share a run.</param>
    /// <param name="choose">Picks each convolution's strategy.</param>
    public static Plan Build(NetworkSource network, int threads, StrategyChoice choose) =>
        new PlanBuilder<TVector, TLanes>(threads, choose).Add(network);

    private Plan Add(NetworkSource network)
    {
        int channels = network.InputChannels;
        var map = new MapLayout(channels, network.ImageHeight, network.ImageWidth, Lanes: channels);
        var buffer = BufferId.Input;
        Reserve(buffer, map.ImagePitch);
        _steps.Add(new NormalizeStep(map, network.Normalization));
        foreach (var block in network.Blocks)
        {
            int height = Downscale(map.Height, block.Shape.Stride), width = Downscale(map.Width, block.Shape.Stride);
            var output = new MapLayout(block.Shape.OutputChannels, height, width, TLanes.Width);
            var target = MapBuffer(output, buffer);
            bool gateFirst = block.Shape.SqueezeExcitation == SqueezeExcitation.BeforeRelu;
            AddConvolution(block, map, output, buffer, target, relu: !gateFirst);
            if (block.Squeeze is not null && block.Excite is not null)
                AddGates(block.Squeeze, block.Excite, output, target, gateFirst);
            (map, buffer) = (output, target);
        }
        AddOutput(network, map, buffer);
        return new Plan([.. _steps], [.. _buffers], _scratch, _weights);
    }

    private void AddOutput(NetworkSource network, MapLayout map, BufferId buffer)
    {
        if (network.Output == NetworkOutput.FeatureMap)
        {
            _steps.Add(new FeatureMapStep(map, buffer));
            return;
        }
        AddPool(map, buffer);
        _steps.Add(network.Output == NetworkOutput.Logits
            ? new ClassifierStep<TVector, TLanes>(network.Classifier, map.Blocks * map.Lanes, _weights)
            : new PooledFeaturesStep(map));
    }

    private void AddConvolution(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu)
    {
        switch (choose(block.Shape, output.Height, output.Width))
        {
            case ConvolutionStrategy.Winograd when block.Shape.Stride == 2:
                var strided = new StridedWinogradStep<TVector, TLanes>(block, input, output, source, target, relu, threads, _weights);
                _scratch = Math.Max(_scratch, strided.ScratchFloats);
                _steps.Add(strided);
                Follow(strided.Filters);
                break;
            case ConvolutionStrategy.Winograd:
                AddWinograd(block, input, output, source, target, relu);
                break;
            default:
                var direct = new DirectConvolutionStep<TVector, TLanes>(block, input, output, source, target, relu, threads, _weights);
                _steps.Add(direct);
                Follow(direct.Filters);
                break;
        }
    }

    private void AddWinograd(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu)
    {
        var layout = new WinogradLayout(new WinogradAxis(output.Height), new WinogradAxis(output.Width), input.Blocks, input.Lanes, threads);
        Reserve(BufferId.Transformed, layout.ImageFloats);
        var transform = new WinogradInputStep<TVector, TLanes>(block.Shape, layout, input, source);
        _steps.Add(transform);
        var multiply = new WinogradMultiplyStep<TVector, TLanes>(block, layout, transform, output, target, relu, _weights);
        _scratch = Math.Max(_scratch, multiply.ScratchFloats);
        _steps.Add(multiply);
        Follow(multiply.Filters);
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
        _steps.Add(gates);
        _steps.Add(new ScaleStep<TVector, TLanes>(map, buffer, reluAfter));
    }

    private void AddPool(MapLayout map, BufferId buffer)
    {
        Reserve(BufferId.Pooled, map.Blocks * map.Lanes);
        _steps.Add(new PoolStep<TVector, TLanes>(map, buffer));
    }

    // Maps of one layout alternate between two buffers.
    private BufferId MapBuffer(MapLayout layout, BufferId source)
    {
        if (!_maps.TryGetValue(layout, out var pair))
        {
            pair = (BufferId.Input + _buffers.Count, BufferId.Input + _buffers.Count + 1);
            _buffers.AddRange([0, 0]);
            _maps.Add(layout, pair);
        }
        var target = source == pair.First ? pair.Second : pair.First;
        Reserve(target, layout.ImagePitch);
        return target;
    }

    private void Reserve(BufferId buffer, long floats) => _buffers[(int)buffer] = Math.Max(_buffers[(int)buffer], floats);

    private static int Downscale(int size, int stride) => (size - 1) / stride + 1;
}

using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Runtime.Resampling;
using RepVgg.Runtime.Simd;
using RepVgg.Weights;

namespace RepVgg.Inference.Float32;

/// <summary>Adds the layers of floating-point numbers to a plan: steps, buffers and weights.</summary>
internal abstract class PlanBuilder
{
    /// <summary>Channels in one block of an activation map.</summary>
    public abstract int Lanes { get; }

    /// <summary>Builds the plan of a network. The weights are not packed yet; see <see cref="Plan.PackWeights"/>.</summary>
    /// <param name="width">The vector width of the kernels.</param>
    /// <param name="network">The network.</param>
    /// <param name="choose">Chooses the algorithm of each convolution; <see cref="ConvolutionStrategies.Choose"/> if null.</param>
    public static Plan Build(VectorWidth width, NetworkSource network, StrategyChoice? choose = null)
    {
        var parts = new PlanParts();
        var layers = Create(width, parts, choose);
        var map = layers.AddNormalization(network);
        foreach (var block in network.Blocks)
            map = layers.AddBlock(block, map);
        parts.BeginTrailing(map.Buffer, map.Layout.Floats);
        map = layers.AddDivision(map, dilation: 1);
        if (network.Output == NetworkOutput.FeatureMap)
        {
            parts.Add(new FeatureMapOutputStep(map.Layout, map.Buffer));
        }
        else
        {
            layers.AddPool(map);
            layers.AddHead(network, map.Layout.Channels);
        }
        return parts.Build(network.InputLength, network.OutputLength);
    }

    /// <summary>Builds the plan of a network for segmentation. The weights are not packed yet.</summary>
    /// <param name="width">The vector width of the kernels.</param>
    /// <param name="network">The network.</param>
    /// <param name="choose">Chooses the algorithm of each convolution; <see cref="ConvolutionStrategies.Choose"/> if null.</param>
    public static Plan Build(VectorWidth width, SegmentationNetwork network, StrategyChoice? choose = null)
    {
        var parts = new PlanParts();
        var layers = Create(width, parts, choose);
        var backbone = NetworkSource.Of(network.Backbone);
        var map = layers.AddNormalization(backbone);
        foreach (var block in backbone.Blocks)
            map = layers.AddBlock(block, map);
        parts.BeginTrailing(map.Buffer, map.Layout.Floats);
        map = layers.AddDivision(map, dilation: 1);
        layers.AddPyramidHead(network, map);
        // The results that are warmed up are masks of bytes.
        return parts.Build(backbone.InputLength, (network.ImageHeight * network.ImageWidth + sizeof(float) - 1) / sizeof(float));
    }

    /// <summary>Creates a builder.</summary>
    /// <param name="width">The vector width of the kernels.</param>
    /// <param name="parts">Receives the layers.</param>
    /// <param name="choose">Chooses the algorithm of each convolution; <see cref="ConvolutionStrategies.Choose"/> if null.</param>
    public static PlanBuilder Create(VectorWidth width, PlanParts parts, StrategyChoice? choose = null) => width switch
    {
        VectorWidth.Bits512 => new PlanBuilder<Vector512<float>, Lanes512>(parts, choose ?? ConvolutionStrategies.Choose),
        VectorWidth.Bits256 => new PlanBuilder<Vector256<float>, Lanes256>(parts, choose ?? ConvolutionStrategies.Choose),
        _ => new PlanBuilder<Vector128<float>, Lanes128>(parts, choose ?? ConvolutionStrategies.Choose),
    };

    /// <summary>Adds the normalisation of the input.</summary>
    public abstract (MapLayout Layout, BufferId Buffer) AddNormalization(NetworkSource network);

    /// <summary>Adds a block.</summary>
    /// <param name="block">The block.</param>
    /// <param name="input">The map that it reads, and its buffer.</param>
    /// <returns>The map that it writes, and its buffer.</returns>
    public abstract (MapLayout Layout, BufferId Buffer) AddBlock(BlockSource block, (MapLayout Layout, BufferId Buffer) input);

    /// <summary>Divides a map into the parts for convolutions whose taps have a distance, or puts its parts together.</summary>
    /// <param name="map">The map.</param>
    /// <param name="dilation">The distance; 1 for a map that is not divided.</param>
    /// <returns>The divided map; the map itself if it is already divided so.</returns>
    public abstract (MapLayout Layout, BufferId Buffer) AddDivision((MapLayout Layout, BufferId Buffer) map, int dilation);

    /// <summary>Adds the global average pooling of a map to <see cref="BufferId.Pooled"/>.</summary>
    public abstract void AddPool((MapLayout Layout, BufferId Buffer) map);

    /// <summary>Adds the step that computes <see cref="BufferId.ChannelScales"/> from <see cref="BufferId.Pooled"/>.</summary>
    /// <param name="squeeze">The first linear layer.</param>
    /// <param name="excite">The second linear layer.</param>
    public abstract void AddChannelScales(LinearSource squeeze, LinearSource excite);

    /// <summary>Adds what follows global average pooling: the classifier, or the output of the features.</summary>
    /// <param name="network">The network.</param>
    /// <param name="channels">Number of channels that were pooled.</param>
    public abstract void AddHead(NetworkSource network, int channels);

    /// <summary>Adds pyramid pooling, the head and the results of a network for segmentation.</summary>
    /// <param name="network">The network.</param>
    /// <param name="map">The last map of the backbone, which is not divided.</param>
    public abstract void AddPyramidHead(SegmentationNetwork network, (MapLayout Layout, BufferId Buffer) map);

    /// <summary>Floats of the pooled features of an image: the channels, padded to whole blocks.</summary>
    public int PooledFloats(int channels) => (channels + Lanes - 1) / Lanes * Lanes;
}

/// <summary>Adds the layers of floating-point numbers to a plan, for one vector width.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="parts">Receives the layers.</param>
/// <param name="choose">Chooses the algorithm of each convolution.</param>
internal sealed class PlanBuilder<TVector, TLanes>(PlanParts parts, StrategyChoice choose) : PlanBuilder
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private FilterPanels? _previousFilters;

    public override int Lanes => TLanes.Width;

    public override (MapLayout Layout, BufferId Buffer) AddNormalization(NetworkSource network)
    {
        var map = new MapLayout(network.InputChannels, network.ImageHeight, network.ImageWidth, Lanes: network.InputChannels);
        parts.Reserve(BufferId.Input, map.ImagePitch);
        parts.CountMaps(map.ImagePitch);
        parts.Add(new NormalizeStep<TVector, TLanes>(map, network.Normalization));
        return (map, BufferId.Input);
    }

    public override (MapLayout Layout, BufferId Buffer) AddBlock(BlockSource block, (MapLayout Layout, BufferId Buffer) input)
    {
        parts.BeginBlock(9L * block.Shape.InputChannels / block.Shape.Groups * block.Shape.OutputChannels, input.Buffer, input.Layout.Floats);
        var (map, buffer) = AddDivision(input, block.Shape.Dilation);
        int height = ConvolutionSize.OutputOfBlock(map.WholeHeight, block.Shape.Stride), width = ConvolutionSize.OutputOfBlock(map.WholeWidth, block.Shape.Stride);
        var output = MapLayout.Divided(block.Shape.OutputChannels, height, width, TLanes.Width, block.Shape.Dilation);
        var target = parts.MapBuffer(output, output.Floats, buffer);
        bool reluFollowsScaling = block.Shape.SqueezeExcitation == SqueezeExcitation.BeforeRelu;
        AddConvolution(block, map, output, buffer, target, relu: !reluFollowsScaling);
        if (output.UnusedRows > 0 || output.UnusedColumns > 0)
            parts.Add(new ClearUnusedStep(output, target));
        if (block.Squeeze is not null && block.Excite is not null)
        {
            (output, target) = AddDivision((output, target), dilation: 1);
            AddPool((output, target));
            AddChannelScales(block.Squeeze, block.Excite);
            parts.Add(new ChannelScaleStep<TVector, TLanes>(output, target, reluFollowsScaling));
        }
        parts.CountMaps(map.Floats + output.Floats);
        return (output, target);
    }

    public override (MapLayout Layout, BufferId Buffer) AddDivision((MapLayout Layout, BufferId Buffer) map, int dilation)
    {
        var source = map.Layout;
        if (source.Dilation == dilation)
            return map;
        var divided = MapLayout.Divided(source.Channels, source.WholeHeight, source.WholeWidth, source.Lanes, dilation);
        var buffer = parts.MapBuffer(divided, divided.Floats, map.Buffer);
        parts.Add(new DivisionStep(source, divided, map.Buffer, buffer));
        return (divided, buffer);
    }

    public override void AddPool((MapLayout Layout, BufferId Buffer) map)
    {
        parts.Reserve(BufferId.Pooled, PooledFloats(map.Layout.Channels));
        parts.Add(new GlobalPoolStep<TVector, TLanes>(map.Layout, map.Buffer));
    }

    public override void AddChannelScales(LinearSource squeeze, LinearSource excite)
    {
        var squeezeExcitation = new SqueezeExcitationStep<TVector, TLanes>(squeeze, excite, parts.Weights);
        parts.Reserve(BufferId.ChannelScales, PooledFloats(excite.OutputFeatures));
        parts.Add(squeezeExcitation, squeezeExcitation.WorkspaceFloats);
    }

    public override void AddHead(NetworkSource network, int channels) => parts.Add(network.Output == NetworkOutput.Logits
        ? new ClassifierStep<TVector, TLanes>(network.Classifier, PooledFloats(channels), parts.Weights)
        : new PooledOutputStep(channels, PooledFloats(channels)));

    public override void AddPyramidHead(SegmentationNetwork network, (MapLayout Layout, BufferId Buffer) map)
    {
        var (architecture, layout) = (network.Architecture, map.Layout);
        int width = PooledFloats(architecture.HeadWidth), features = PooledFloats(layout.Channels), branch = PooledFloats(architecture.ActualBranchWidth);
        var grids = new PyramidGrids(architecture.Bins, layout.Height, layout.Width, architecture.AlignCorners);
        var averages = Buffer("averages", (long)grids.Cells * features);
        parts.Add(new PyramidPoolStep<TVector, TLanes>(grids, layout, map.Buffer, averages));
        var reduced = Buffer("reduced", (long)grids.Cells * branch);
        parts.Add(new PyramidBranchStep<TVector, TLanes>(grids, [.. network.Branches.Select(Packed)], features, averages, reduced));
        var products = Buffer("products", (long)grids.Cells * 9 * width);
        parts.Add(new PyramidTapStep<TVector, TLanes>(grids, [.. Enumerable.Range(0, grids.Count).Select(grid => Packed(Taps(network, grid, width)))], branch, reduced, products));

        // The convolution of the map alone, to which those of the grids are added.
        var shape = network.Head.Shape with { InputChannels = layout.Channels };
        var output = new MapLayout(shape.OutputChannels, layout.Height, layout.Width, TLanes.Width);
        var target = parts.MapBuffer(output, output.Floats, map.Buffer);
        AddConvolution(NetworkSource.Of(new DeployBlock(shape, KernelOfInputs(network.Head, 0, layout.Channels), network.Head.Bias)), layout, output, map.Buffer, target, relu: false);
        var sum = new PyramidSumStep<TVector, TLanes>(grids, output, target, products);
        parts.Add(sum, sum.WorkspaceFloats);

        var classifier = new PixelClassifierStep<TVector, TLanes>(Packed(network.Classifier), output, target, Buffer("logits", (long)layout.Height * layout.Width * PooledFloats(network.Classes)));
        parts.Add(classifier, classifier.WorkspaceFloats);
        AxisWeights rows = AxisWeights.Bilinear(layout.Height, network.ImageHeight, architecture.AlignCorners), columns = AxisWeights.Bilinear(layout.Width, network.ImageWidth, architecture.AlignCorners);
        foreach (var kind in Enum.GetValues<SegmentationResult>())
        {
            var result = new PixelResultStep<TVector, TLanes>(kind, network.Classes, rows, columns, Buffer("logits", 0));
            parts.Add(result, result.WorkspaceFloats);
        }

        BufferId Buffer(string name, long floats) => parts.MapBuffer((nameof(AddPyramidHead), name), floats, source: default);

        PackedLinear<TVector, TLanes> Packed(LinearWeights layer) => new(new LinearSource(layer.InputFeatures, layer.OutputFeatures, new TensorData([.. layer.Weight]), new TensorData([.. layer.Bias])), parts.Weights);
    }

    /// <summary>The products of a cell of a grid and the nine taps of the head's kernel as a linear layer without bias, [tap][channel], with the channels padded to whole blocks.</summary>
    private static LinearWeights Taps(SegmentationNetwork network, int grid, int width)
    {
        var shape = network.Head.Shape;
        int inputs = network.Architecture.ActualBranchWidth, first = network.Backbone.Architecture.FeatureWidth + grid * inputs;
        var weights = new float[9 * width * inputs];
        for (int o = 0; o < shape.OutputChannels; o++)
        {
            for (int i = 0; i < inputs; i++)
            {
                for (int tap = 0; tap < 9; tap++)
                    weights[(tap * width + o) * inputs + i] = network.Head.Kernel[(o * shape.InputChannels + first + i) * 9 + tap];
            }
        }
        return new LinearWeights(inputs, 9 * width, ImmutableCollectionsMarshal.AsImmutableArray(weights), ImmutableCollectionsMarshal.AsImmutableArray(new float[9 * width]));
    }

    /// <summary>The kernel of a range of input channels of a convolution without groups.</summary>
    private static ImmutableArray<float> KernelOfInputs(DeployBlock block, int first, int count)
    {
        var kernel = new float[block.Shape.OutputChannels * count * 9];
        for (int o = 0; o < block.Shape.OutputChannels; o++)
            block.Kernel.AsSpan((o * block.Shape.InputChannels + first) * 9, count * 9).CopyTo(kernel.AsSpan(o * count * 9));
        return ImmutableCollectionsMarshal.AsImmutableArray(kernel);
    }

    private void AddConvolution(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu)
    {
        // The input of the network has all channels in one block, which the Winograd steps cannot read.
        switch (input.Lanes == TLanes.Width ? choose(block.Shape, output.Height, output.Width) : ConvolutionStrategy.Direct)
        {
            case ConvolutionStrategy.Winograd when block.Shape.Stride == 2:
                var strided = new StridedWinogradStep<TVector, TLanes>(block, input, output, source, target, relu, parts.Weights);
                parts.Add(strided, strided.WorkspaceFloats);
                LinkFilters(strided.Filters);
                break;
            case ConvolutionStrategy.Winograd:
                var winograd = new WinogradStep<TVector, TLanes>(block, input, output, source, target, relu, parts.Weights);
                parts.Add(winograd, winograd.WorkspaceFloats);
                LinkFilters(winograd.Filters);
                break;
            default:
                var direct = new DirectConvolutionStep<TVector, TLanes>(block, input, output, source, target, relu, parts.Weights);
                parts.Add(direct);
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
}

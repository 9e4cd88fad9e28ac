using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using BranchRows = RepVgg.Backends.Cpu.Kernels.BranchLoops.Branch;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>
/// A block of one or more convolutions and at most one identity, each with a batch norm, as one fused operation. All branches
/// process a unit of images while it is in the cache.
/// </summary>
/// <remarks>
/// Forward: the first pass computes the convolutions and their statistics; the second pass computes the batch norms, their
/// sum and ReLU. Without batch statistics, one pass computes both. Backward: the first pass computes the sums for the batch
/// norm gradients; the second pass computes the weight gradients and the input gradient of the branches. The outputs of the
/// convolutions are kept for it; without a backward pass and batch statistics, no map of a convolution's whole batch exists.
/// </remarks>
internal sealed unsafe class MultiBranchBlock : CpuOperation
{
    private readonly CpuTensor _input;
    private readonly CpuTensor[] _kernels;
    private readonly ConvolutionPlan[] _plans;
    private readonly NormalizationStatistics[] _statistics;
    private readonly DisposableArray<UnitMap> _maps;
    private readonly bool _relu;

    private MultiBranchBlock(CpuContext context, CpuTensor input, Branch[] convolutions, Branch? identity, BlockGeometry geometry, bool relu)
        : base(NewOutput(context, input, convolutions, identity, geometry.Stride))
    {
        _input = input;
        _relu = relu;
        _kernels = Array.ConvertAll(convolutions, branch => (CpuTensor)branch.Kernel!);
        ConvolutionShape[] shapes = Array.ConvertAll(convolutions, branch => new ConvolutionShape(
            input.C, input.H, input.W, Output.C, branch.KernelHeight, branch.KernelWidth, geometry.Of(branch.KernelHeight, branch.KernelWidth)));
        // The convolution with the largest kernel takes the most time, so its plan determines how many images are computed together.
        var largest = ConvolutionPlan.For(context, shapes.MaxBy(shape => shape.Taps));
        _plans = Array.ConvertAll(shapes, shape => shape == largest.Shape ? largest : ConvolutionPlan.For(context, shape, largest.UnitImages));
        IEnumerable<Branch> branches = identity is null ? convolutions : convolutions.Append(identity);
        _statistics = [.. branches.Select(branch => new NormalizationStatistics(context, branch.Norm!, Output.C))];
        UsesBatch = _statistics.Any(statistics => statistics.UsesBatch);
        _maps = new(convolutions.Select(_ => new UnitMap(context, Output.Dimensions, largest.UnitImages, keepsBatch: UsesBatch || Output.RequiresGradient)));
    }

    /// <summary>Whether any batch norm uses the statistics of the batch.</summary>
    private bool UsesBatch { get; }

    private bool HasIdentity => _statistics.Length > _plans.Length;

    private int UnitImages => _plans[0].UnitImages;

    private int Channels => Output.C;

    private int Area => Output.Area;

    /// <summary>Floats of one image of the input.</summary>
    private long InputSize => (long)_input.C * _input.Area;

    /// <summary>Floats of one image of the output.</summary>
    private long OutputSize => (long)Channels * Area;

    /// <summary>Computes a block if it has the pattern of this operation: at least one convolution and at most one identity, all with batch norms.</summary>
    /// <returns>The output; null if the block has another pattern.</returns>
    public static CpuTensor? TryApply(CpuContext context, CpuTensor input, IReadOnlyList<Branch> branches, BlockGeometry geometry, bool relu)
    {
        Branch[] convolutions = [.. branches.Where(branch => branch.Kernel is not null)];
        if (convolutions.Length == 0 || branches.Count - convolutions.Length > 1 || branches.Any(branch => branch.Norm is null))
            return null;
        var block = new MultiBranchBlock(context, input, convolutions, branches.FirstOrDefault(branch => branch.Kernel is null), geometry, relu);
        block.Forward(context);
        // Without a backward pass (frozen block or evaluation), the maps are not needed again and their memory can be reused.
        if (!block.Output.RequiresGradient)
            block._maps.Dispose();
        context.Record(block.Output, () => block);
        return block.Output;
    }

    public override void Backward()
    {
        var context = Output.Context;
        SumGradients(context);
        using var executors = NewExecutors(context);
        using var weights = new DisposableArray<WeightGradient>(_kernels.Select((kernel, i) => new WeightGradient(context, executors[i], kernel, _input.N)));
        using var gradients = new DisposableArray<UnitMap>(weights.Select(weight => new UnitMap(context, Output.Dimensions, UnitImages, weight.NeedsBatch)));
        var chunks = BatchChunks.ForSums(_input.N, weights.Max(weight => weight.SumsLength), UnitImages);
        foreach (var weight in weights)
            weight.Begin(chunks.Count);
        using var workspaces = NewWorkspaces(context);

        bool addToInput = false;
        float* inputGradient = _input.RequiresGradient ? _input.GradientForWriting(out addToInput) : null;
        bool[] ofBatch = OfBatch(gradients);
        for (int i = 0; i < executors.Count && inputGradient is not null; i++)
        {
            if (!ofBatch[i])
                executors[i].PackBackward(_kernels[i].Data);
        }
        float* input = _input.Data;
        float* gradient = Output.Gradient;
        float* output = _relu ? Output.Data : null;
        context.Run(chunks.Count, (chunk, worker) =>
        {
            foreach (var weight in weights)
                weight.Clear(chunk);
            Span<BranchRows> branches = stackalloc BranchRows[executors.Count];
            for (int start = chunks.Start(chunk), images; start < chunks.Start(chunk + 1); start += images)
            {
                images = Math.Min(UnitImages, chunks.Start(chunk + 1) - start);
                float* unitInput = input + start * InputSize;
                float* unitGradient = inputGradient is null ? null : inputGradient + start * InputSize;
                for (int i = 0; i < branches.Length; i++)
                    branches[i] = BackwardRows(i, _maps[i].At(start, worker), gradients[i].At(start, worker));
                var identity = HasIdentity && unitGradient is not null ? BackwardRows(branches.Length, unitInput, unitGradient) : default;
                BranchLoops.Gradients(branches, identity, addToInput, gradient + start * OutputSize, output is null ? null : output + start * OutputSize, images * Area, Channels);

                for (int i = 0; i < branches.Length; i++)
                    weights[i].Add(chunk, unitInput, branches[i].Gradient, images, workspaces[worker]);
                bool accumulate = addToInput || HasIdentity;
                for (int i = 0; i < branches.Length && unitGradient is not null; i++)
                {
                    if (ofBatch[i])
                        continue;
                    executors[i].InputGradient(branches[i].Gradient, images, workspaces[worker], unitGradient, accumulate);
                    accumulate = true;
                }
            }
        });
        bool isWritten = addToInput || HasIdentity || ofBatch.Contains(false);
        for (int i = 0; i < executors.Count && inputGradient is not null; i++)
        {
            if (!ofBatch[i])
                continue;
            executors[i].InputGradientOfBatch(_kernels[i].Data, gradients[i].Batch, _input.N, inputGradient, isWritten);
            isWritten = true;
        }
        for (int i = 0; i < weights.Count; i++)
            weights[i].Finish(input, gradients[i].Batch);
    }

    private void Forward(CpuContext context)
    {
        using var executors = NewExecutors(context);
        bool[] ofBatch = OfBatch(_maps);
        for (int i = 0; i < executors.Count; i++)
        {
            if (ofBatch[i])
                executors[i].ForwardOfBatch(_kernels[i].Data, _input.Data, _input.N, _maps[i].Batch);
            else
                executors[i].PackForward(_kernels[i].Data);
        }
        using var workspaces = NewWorkspaces(context);
        var units = BatchChunks.OfUnits(_input.N, UnitImages);
        using var moments = new DisposableArray<ChunkedBuffer>(_statistics.Select(statistics => new ChunkedBuffer(context.Pool, units.Count, statistics.UsesBatch ? 2 * Channels : 0)));
        foreach (var statistics in _statistics.Where(statistics => !statistics.UsesBatch))
            statistics.UseRunning();
        float* input = _input.Data;
        float* output = Output.Data;
        context.Run(units.Count, (unit, worker) =>
        {
            int start = units.Start(unit), images = units.Start(unit + 1) - start;
            float* unitInput = input + start * InputSize;
            for (int i = 0; i < executors.Count; i++)
            {
                if (!ofBatch[i])
                    executors[i].Forward(executors[i].PrepareInput(unitInput, images, workspaces[worker]), images, _maps[i].At(start, worker), workspaces[worker]);
            }
            for (int i = 0; i < _statistics.Length; i++)
            {
                if (_statistics[i].UsesBatch)
                    ChannelLoops.Moments(i < executors.Count ? _maps[i].At(start, worker) : unitInput, images * Area, Channels, moments[i][unit], moments[i][unit] + Channels);
            }
            if (!UsesBatch)
                Combine(unit, worker);
        });
        if (!UsesBatch)
            return;
        for (int i = 0; i < _statistics.Length; i++)
        {
            if (_statistics[i].UsesBatch)
                _statistics[i].UseBatch(units.Scaled(Area), moments[i]);
        }
        context.Run(units.Count, Combine);

        void Combine(int unit, int worker)
        {
            int start = units.Start(unit), images = units.Start(unit + 1) - start;
            Span<BranchRows> branches = stackalloc BranchRows[_maps.Count];
            for (int i = 0; i < branches.Length; i++)
                branches[i] = ForwardRows(i, _maps[i].At(start, worker));
            var identity = HasIdentity ? ForwardRows(branches.Length, input + start * InputSize) : default;
            BranchLoops.Combine(branches, identity, images * Area, Channels, _relu, output + start * OutputSize);
        }
    }

    /// <summary>Computes the gradients of the batch norm parameters, and the per-channel factors of the branch gradients, which need sums over the whole batch.</summary>
    private void SumGradients(CpuContext context)
    {
        var chunks = BatchChunks.OfRows(Output.Pixels, 512);
        using var sums = new ChunkedBuffer(context.Pool, chunks.Count, BranchLoops.SumsLength(_maps.Count, Channels));
        float* input = _input.Data;
        float* gradient = Output.Gradient;
        float* output = _relu ? Output.Data : null;
        context.Run(chunks.Count, (chunk, _) =>
        {
            sums.Clear(chunk);
            long at = (long)chunks.Start(chunk) * Channels;
            Span<BranchRows> branches = stackalloc BranchRows[_maps.Count];
            for (int i = 0; i < branches.Length; i++)
                branches[i] = BackwardRows(i, _maps[i].Batch + at);
            var identity = HasIdentity ? BackwardRows(branches.Length, input + at) : default;
            BranchLoops.GradientSums(branches, identity, gradient + at, output is null ? null : output + at, chunks.Start(chunk + 1) - chunks.Start(chunk), Channels, sums[chunk]);
        });
        for (int i = 0; i < _statistics.Length; i++)
        {
            long products = i < _maps.Count ? BranchLoops.ProductsOfConvolution(i, Channels) : BranchLoops.ProductsOfIdentity(Channels);
            _statistics[i].Backward(Output.Pixels, c => sums.Total(c), c => sums.Total(products + c));
        }
    }

    /// <summary>Returns which convolutions are computed for the whole batch with parallelism over weights. Their maps must be kept for that.</summary>
    private bool[] OfBatch(DisposableArray<UnitMap> maps) => [.. _plans.Select((plan, i) => maps[i].Batch is not null && plan.ParallelizesOverWeights(_input.N))];

    private DisposableArray<ConvolutionExecutor> NewExecutors(CpuContext context) => new(_plans.Select(plan => plan.CreateExecutor(context)));

    private WorkerWorkspaces NewWorkspaces(CpuContext context) => new(context, _plans.Max(plan => plan.WorkspaceLength));

    private BranchRows ForwardRows(int branch, float* rows) => new()
    {
        Rows = rows,
        Mean = _statistics[branch].Mean,
        Factor = _statistics[branch].Scale,
        Offset = _statistics[branch].Shift,
    };

    private BranchRows BackwardRows(int branch, float* rows, float* gradient = null) => new()
    {
        Rows = rows,
        Mean = _statistics[branch].Mean,
        Factor = _statistics[branch].GradientFactor,
        RowFactor = _statistics[branch].InputFactor,
        Offset = _statistics[branch].GradientOffset,
        Gradient = gradient,
    };

    private static CpuTensor NewOutput(CpuContext context, CpuTensor input, Branch[] convolutions, Branch? identity, int stride)
    {
        bool requiresGradient = input.RequiresGradient || convolutions.Any(Requires) || (identity is not null && Requires(identity));
        return context.CreateStepTensor(
            [input.N, ((CpuTensor)convolutions[0].Kernel!).N, ConvolutionSize.OutputOfBlock(input.H, stride), ConvolutionSize.OutputOfBlock(input.W, stride)], requiresGradient);

        static bool Requires(Branch branch) =>
            branch.Kernel is CpuTensor { RequiresGradient: true } || branch.Norm is { Weight: CpuTensor { RequiresGradient: true } } or { Bias: CpuTensor { RequiresGradient: true } };
    }
}

/// <summary>
/// Memory for a map that is computed in units of images: either the whole batch, or a workspace of each worker thread, which is
/// reused for every unit.
/// </summary>
internal sealed unsafe class UnitMap(CpuContext context, ReadOnlySpan<int> shape, int unitImages, bool keepsBatch) : IDisposable
{
    private readonly long _imageSize = CpuTensor.CountOf(shape[1..]);
    private readonly CpuTensor? _batch = keepsBatch ? context.CreateStepTensor(shape, requiresGradient: false) : null;
    private readonly WorkerWorkspaces _workspaces = new(context, keepsBatch ? 0 : unitImages * CpuTensor.CountOf(shape[1..]));

    /// <summary>The map of the whole batch; null if it is not kept.</summary>
    public float* Batch => _batch is null ? null : _batch.Data;

    /// <summary>Returns the memory of the unit that starts at an image.</summary>
    public float* At(int image, int worker) => _batch is null ? _workspaces[worker] : _batch.Data + image * _imageSize;

    public void Dispose()
    {
        _batch?.Release();
        _workspaces.Dispose();
    }
}

using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using BranchRows = RepVgg.Backends.Cpu.Kernels.BranchLoops.Branch;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>A block of a 3x3 and a 1x1 convolution and at most one identity, each with a batch norm, as one fused operation. All branches process a unit of images while it is in the cache.</summary>
/// <remarks>
/// Forward: the first pass computes the convolutions and their statistics; the second pass computes the batch norms, their
/// sum and ReLU. Without batch statistics, one pass computes both. Backward: the first pass computes the sums for the batch
/// norm gradients; the second pass computes the weight gradients and the input gradient of the branches.
/// </remarks>
internal sealed unsafe class MultiBranchBlock : CpuOperation
{
    private readonly CpuTensor _input;
    private readonly CpuTensor _kernel3x3;
    private readonly CpuTensor _kernel1x1;
    private readonly ConvolutionPlan _plan3x3;
    private readonly ConvolutionPlan _plan1x1;
    private readonly NormalizationStatistics[] _statistics;
    private readonly CpuTensor _map3x3;
    private readonly CpuTensor _map1x1;
    private readonly bool _relu;

    private MultiBranchBlock(CpuContext context, CpuTensor input, CpuTensor kernel3x3, CpuTensor kernel1x1, IReadOnlyList<BatchNormState> norms, int stride, int groups, bool relu)
        : base(NewOutput(context, input, kernel3x3, kernel1x1, norms, stride))
    {
        _input = input;
        _kernel3x3 = kernel3x3;
        _kernel1x1 = kernel1x1;
        _relu = relu;
        var shape = new ConvolutionShape(input.C, input.H, input.W, kernel3x3.N, 3, 3, stride, 1, 1, groups);
        _plan3x3 = ConvolutionPlan.For(context, shape);
        _plan1x1 = ConvolutionPlan.For(context, shape with { KernelHeight = 1, KernelWidth = 1, PaddingHeight = 0, PaddingWidth = 0 }, _plan3x3.UnitImages);
        _map3x3 = context.CreateStepTensor(Output.Dimensions, requiresGradient: false);
        _map1x1 = context.CreateStepTensor(Output.Dimensions, requiresGradient: false);
        _statistics = [.. norms.Select(norm => new NormalizationStatistics(context, norm, shape.OutputChannels))];
    }

    private bool HasIdentity => _statistics.Length > 2;

    private int Channels => Output.C;

    private int Area => Output.Area;

    /// <summary>Computes a block if it has the pattern of this operation: a 3x3 and a 1x1 convolution with batch norms, and at most one identity with batch norm, without constant factors.</summary>
    /// <returns>The output; null if the block has another pattern.</returns>
    public static CpuTensor? TryApply(CpuContext context, CpuTensor input, IReadOnlyList<Branch> branches, int stride, int groups, bool relu)
    {
        Branch? large = null, small = null, identity = null;
        foreach (var branch in branches)
        {
            ref var place = ref branch.Kernel is null ? ref identity : ref branch.KernelHeight == 3 ? ref large : ref small;
            if (place is not null || branch.Norm is null || branch.Scale != 1 || branch.KernelHeight != branch.KernelWidth)
                return null;
            place = branch;
        }
        if (large is null || small is null)
            return null;
        BatchNormState[] norms = identity is null ? [large.Norm!, small.Norm!] : [large.Norm!, small.Norm!, identity.Norm!];
        var block = new MultiBranchBlock(context, input, (CpuTensor)large.Kernel!, (CpuTensor)small.Kernel!, norms, stride, groups, relu);
        block.Forward(context);
        if (block.Output.RequiresGradient)
        {
            context.Record(block.Output, () => block);
        }
        else
        {
            // Without a backward pass (frozen block or evaluation), the maps are not needed again and their memory can be reused.
            block._map3x3.Release();
            block._map1x1.Release();
        }
        return block.Output;
    }

    public override void Backward()
    {
        var context = Output.Context;
        SumGradients(context);
        using var convolution3x3 = _plan3x3.CreateExecutor(context);
        using var convolution1x1 = _plan1x1.CreateExecutor(context);
        using var weights3x3 = new WeightGradient(context, convolution3x3, _kernel3x3, _input.N);
        using var weights1x1 = new WeightGradient(context, convolution1x1, _kernel1x1, _input.N);
        var chunks = BatchChunks.ForSums(_input.N, Math.Max(weights3x3.SumsLength, weights1x1.SumsLength), _plan3x3.UnitImages);
        weights3x3.Begin(chunks.Count);
        weights1x1.Begin(chunks.Count);
        long inputSize = (long)_input.C * _input.Area, outputSize = (long)Channels * Area;
        using var workspaces = new WorkerWorkspaces(context, Math.Max(_plan3x3.WorkspaceLength, _plan1x1.WorkspaceLength));
        using var gradients3x3 = new BranchGradients(context, weights3x3.NeedsBatch, _input.N, _plan3x3.UnitImages, outputSize);
        using var gradients1x1 = new BranchGradients(context, weights1x1.NeedsBatch, _input.N, _plan3x3.UnitImages, outputSize);

        bool addToInput = false;
        float* inputGradient = _input.RequiresGradient ? _input.GradientForWriting(out addToInput) : null;
        if (inputGradient is not null)
        {
            convolution3x3.PackBackward(_kernel3x3.Data);
            convolution1x1.PackBackward(_kernel1x1.Data);
        }
        float* input = _input.Data;
        float* gradient = Output.Gradient;
        float* output = _relu ? Output.Data : null;
        BranchRows first = BackwardBranch(_map3x3.Data, 0), second = BackwardBranch(_map1x1.Data, 1), identity = HasIdentity ? BackwardBranch(input, 2) : default;
        identity.Gradient = inputGradient;
        context.Run(chunks.Count, (chunk, worker) =>
        {
            weights3x3.Clear(chunk);
            weights1x1.Clear(chunk);
            for (int start = chunks.Start(chunk), images; start < chunks.Start(chunk + 1); start += images)
            {
                images = Math.Min(_plan3x3.UnitImages, chunks.Start(chunk + 1) - start);
                BranchRows one = At(first, start * outputSize), two = At(second, start * outputSize), three = At(identity, start * outputSize);
                float* gradient3x3 = one.Gradient = gradients3x3.At(start, worker);
                float* gradient1x1 = two.Gradient = gradients1x1.At(start, worker);
                BranchLoops.Gradients(one, two, three, addToInput, gradient + start * outputSize, output is null ? null : output + start * outputSize, images * Area, Channels);

                float* unitInput = input + start * inputSize;
                weights3x3.Add(chunk, unitInput, gradient3x3, images, workspaces[worker]);
                weights1x1.Add(chunk, unitInput, gradient1x1, images, workspaces[worker]);
                if (inputGradient is null)
                    continue;
                float* unitGradient = inputGradient + start * inputSize;
                convolution3x3.InputGradient(gradient3x3, images, workspaces[worker], unitGradient, accumulate: addToInput || HasIdentity);
                convolution1x1.InputGradient(gradient1x1, images, workspaces[worker], unitGradient, accumulate: true);
            }
        });
        weights3x3.Finish(input, gradients3x3.Batch);
        weights1x1.Finish(input, gradients1x1.Batch);
    }

    private void Forward(CpuContext context)
    {
        using var convolution3x3 = _plan3x3.CreateExecutor(context);
        using var convolution1x1 = _plan1x1.CreateExecutor(context);
        convolution3x3.PackForward(_kernel3x3.Data);
        convolution1x1.PackForward(_kernel1x1.Data);
        using var workspaces = new WorkerWorkspaces(context, Math.Max(_plan3x3.WorkspaceLength, _plan1x1.WorkspaceLength));

        int batch = _input.N, unitImages = _plan3x3.UnitImages;
        var units = BatchChunks.OfUnits(batch, unitImages);
        int branches = _statistics.Length;
        bool training = _statistics.Any(statistics => statistics.UsesBatch);
        using var moments = new BranchMoments(context.Pool, units.Count, branches, Channels);
        float* input = _input.Data;
        float* map3x3 = _map3x3.Data;
        float* map1x1 = _map1x1.Data;
        long inputSize = (long)_input.C * _input.Area, outputSize = (long)Channels * Area;
        foreach (var statistics in _statistics)
        {
            if (!statistics.UsesBatch)
                statistics.UseRunning();
        }
        float* output = Output.Data;
        BranchRows first = ForwardBranch(map3x3, 0), second = ForwardBranch(map1x1, 1), identity = HasIdentity ? ForwardBranch(input, 2) : default;
        context.Run(units.Count, (unit, worker) =>
        {
            int start = units.Start(unit), images = units.Start(unit + 1) - start, rows = images * Area;
            float* unitInput = input + start * inputSize;
            convolution3x3.Forward(convolution3x3.PrepareInput(unitInput, images, workspaces[worker]), images, map3x3 + start * outputSize, workspaces[worker]);
            convolution1x1.Forward(convolution1x1.PrepareInput(unitInput, images, workspaces[worker]), images, map1x1 + start * outputSize, workspaces[worker]);
            if (!training)
            {
                Combine(start, rows);
                return;
            }
            moments.Measure(0, unit, map3x3 + start * outputSize, rows);
            moments.Measure(1, unit, map1x1 + start * outputSize, rows);
            if (HasIdentity)
                moments.Measure(2, unit, unitInput, rows);
        });
        if (!training)
            return;
        for (int i = 0; i < branches; i++)
        {
            if (_statistics[i].UsesBatch)
                _statistics[i].UseBatch(units.Scaled(Area), moments[i]);
        }
        context.Run(units.Count, (unit, _) => Combine(units.Start(unit), (units.Start(unit + 1) - units.Start(unit)) * Area));

        void Combine(int start, int rows) =>
            BranchLoops.Combine(At(first, start * outputSize), At(second, start * outputSize), At(identity, start * outputSize), rows, Channels, _relu, output + start * outputSize);
    }

    /// <summary>Computes the gradients of the batch norm parameters, and the per-channel factors of the branch gradients, which need sums over the whole batch.</summary>
    private void SumGradients(CpuContext context)
    {
        var chunks = BatchChunks.OfRows(Output.Pixels, 512);
        using var sums = new ChunkedBuffer(context.Pool, chunks.Count, 4 * Channels);
        BranchRows first = BackwardBranch(_map3x3.Data, 0), second = BackwardBranch(_map1x1.Data, 1), identity = HasIdentity ? BackwardBranch(_input.Data, 2) : default;
        float* gradient = Output.Gradient;
        float* output = _relu ? Output.Data : null;
        context.Run(chunks.Count, (chunk, _) =>
        {
            sums.Clear(chunk);
            long at = (long)chunks.Start(chunk) * Channels;
            BranchLoops.GradientSums(At(first, at), At(second, at), At(identity, at), gradient + at, output is null ? null : output + at,
                chunks.Start(chunk + 1) - chunks.Start(chunk), Channels, sums[chunk]);
        });
        for (int i = 0; i < _statistics.Length; i++)
        {
            long products = (i + 1) * Channels;
            _statistics[i].Backward(Output.Pixels, c => sums.Total(c), c => sums.Total(products + c));
        }
    }

    private BranchRows ForwardBranch(float* rows, int i) => new()
    {
        Rows = rows,
        Mean = _statistics[i].Mean,
        Factor = _statistics[i].Scale,
        Offset = _statistics[i].Shift,
    };

    private BranchRows BackwardBranch(float* rows, int i) => new()
    {
        Rows = rows,
        Mean = _statistics[i].Mean,
        Factor = _statistics[i].GradientFactor,
        RowFactor = _statistics[i].InputFactor,
        Offset = _statistics[i].GradientOffset,
    };

    private static BranchRows At(BranchRows branch, long floats)
    {
        if (branch.Rows is not null)
            branch.Rows += floats;
        if (branch.Gradient is not null)
            branch.Gradient += floats;
        return branch;
    }

    private static CpuTensor NewOutput(CpuContext context, CpuTensor input, CpuTensor kernel3x3, CpuTensor kernel1x1, IReadOnlyList<BatchNormState> norms, int stride)
    {
        bool requiresGradient = input.RequiresGradient || kernel3x3.RequiresGradient || kernel1x1.RequiresGradient
            || norms.Any(norm => ((CpuTensor)norm.Weight).RequiresGradient || ((CpuTensor)norm.Bias).RequiresGradient);
        return context.CreateStepTensor([input.N, kernel3x3.N, ConvolutionSize.OutputOfBlock(input.H, stride), ConvolutionSize.OutputOfBlock(input.W, stride)], requiresGradient);
    }
}

/// <summary>
/// Memory for the gradients with respect to the output of one branch: either the workspace of a worker thread, reused for
/// every unit of images, or a map of the whole batch.
/// </summary>
internal sealed unsafe class BranchGradients(CpuContext context, bool keepsBatch, int images, int unitImages, long imageSize) : IDisposable
{
    private readonly ChunkedBuffer _batch = new(context.Pool, 1, keepsBatch ? images * imageSize : 0);
    private readonly WorkerWorkspaces _workspaces = new(context, keepsBatch ? 0 : unitImages * imageSize);

    /// <summary>The gradients of the whole batch; null if they are not kept.</summary>
    public float* Batch => _batch[0];

    /// <summary>Returns the memory for the unit that starts at an image.</summary>
    public float* At(int image, int worker) => keepsBatch ? Batch + image * imageSize : _workspaces[worker];

    public void Dispose()
    {
        _batch.Dispose();
        _workspaces.Dispose();
    }
}

/// <summary>Means and sums of squared deviations per channel, for several branches and units of images.</summary>
internal sealed unsafe class BranchMoments : IDisposable
{
    private readonly ChunkedBuffer[] _sums;
    private readonly int _channels;

    public BranchMoments(BufferPool pool, int units, int branches, int channels)
    {
        _channels = channels;
        _sums = [.. Enumerable.Range(0, branches).Select(_ => new ChunkedBuffer(pool, units, 2 * channels))];
    }

    /// <summary>The moments of all units of one branch.</summary>
    public ChunkedBuffer this[int branch] => _sums[branch];

    /// <summary>Computes the moments of one unit of one branch.</summary>
    public void Measure(int branch, int unit, float* rows, int count)
    {
        float* result = _sums[branch][unit];
        ChannelLoops.Moments(rows, count, _channels, result, result + _channels);
    }

    public void Dispose()
    {
        foreach (var sums in _sums)
            sums.Dispose();
    }
}

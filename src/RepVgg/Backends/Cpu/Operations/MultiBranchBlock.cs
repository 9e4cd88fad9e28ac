using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Backends.Cpu.Memory;
using Branch = RepVgg.Backends.Cpu.Kernels.BranchLoops.Branch;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>A RepVGG block as one fused operation. All branches process a unit of images while it is in the cache.</summary>
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

    private MultiBranchBlock(CpuBackend backend, CpuTensor input, CpuTensor kernel3x3, CpuTensor kernel1x1, IReadOnlyList<BatchNormState> norms, int stride, int groups, bool relu)
        : base(NewOutput(backend, input, kernel3x3, kernel1x1, norms, stride))
    {
        _input = input;
        _kernel3x3 = kernel3x3;
        _kernel1x1 = kernel1x1;
        _relu = relu;
        var shape = new ConvolutionShape(input.C, input.H, input.W, kernel3x3.N, 3, 3, stride, 1, groups);
        _plan3x3 = backend.PlanFor(shape);
        _plan1x1 = backend.PlanFor(shape with { KernelHeight = 1, KernelWidth = 1, Padding = 0 }, _plan3x3.UnitImages);
        _map3x3 = backend.NewStepTensor(Output.Dimensions, requiresGradient: false);
        _map1x1 = backend.NewStepTensor(Output.Dimensions, requiresGradient: false);
        _statistics = [.. norms.Select(norm => new NormalizationStatistics(backend, norm, shape.OutputChannels))];
    }

    private bool HasIdentity => _statistics.Length > 2;

    private int Channels => Output.C;

    private int Area => Output.Area;

    public static CpuTensor Apply(CpuBackend backend, CpuTensor input, CpuTensor kernel3x3, CpuTensor kernel1x1, IReadOnlyList<BatchNormState> norms, int stride, int groups, bool relu)
    {
        var block = new MultiBranchBlock(backend, input, kernel3x3, kernel1x1, norms, stride, groups, relu);
        block.Forward(backend);
        if (block.Output.RequiresGradient)
        {
            backend.Record(block.Output, () => block);
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
        var backend = Output.Owner;
        SumGradients(backend);
        using var convolution3x3 = _plan3x3.NewKernel(backend);
        using var convolution1x1 = _plan1x1.NewKernel(backend);
        using var weights3x3 = new WeightGradient(backend, convolution3x3, _kernel3x3, _input.N);
        using var weights1x1 = new WeightGradient(backend, convolution1x1, _kernel1x1, _input.N);
        var chunks = BatchChunks.ForSums(_input.N, Math.Max(weights3x3.SumsLength, weights1x1.SumsLength), _plan3x3.UnitImages);
        weights3x3.Begin(chunks.Count);
        weights1x1.Begin(chunks.Count);
        long inputSize = (long)_input.C * _input.Area, outputSize = (long)Channels * Area;
        using var scratch = new WorkerScratch(backend, Math.Max(_plan3x3.ScratchLength, _plan1x1.ScratchLength));
        using var gradients3x3 = new BranchGradients(backend, weights3x3.NeedsBatch, _input.N, _plan3x3.UnitImages, outputSize);
        using var gradients1x1 = new BranchGradients(backend, weights1x1.NeedsBatch, _input.N, _plan3x3.UnitImages, outputSize);

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
        Branch first = BackwardBranch(_map3x3.Data, 0), second = BackwardBranch(_map1x1.Data, 1), identity = HasIdentity ? BackwardBranch(input, 2) : default;
        identity.Gradient = inputGradient;
        backend.Run(chunks.Count, (chunk, worker) =>
        {
            weights3x3.Clear(chunk);
            weights1x1.Clear(chunk);
            for (int start = chunks.Start(chunk), images; start < chunks.Start(chunk + 1); start += images)
            {
                images = Math.Min(_plan3x3.UnitImages, chunks.Start(chunk + 1) - start);
                Branch one = At(first, start * outputSize), two = At(second, start * outputSize), three = At(identity, start * outputSize);
                float* gradient3x3 = one.Gradient = gradients3x3.At(start, worker);
                float* gradient1x1 = two.Gradient = gradients1x1.At(start, worker);
                BranchLoops.Gradients(one, two, three, addToInput, gradient + start * outputSize, output is null ? null : output + start * outputSize, images * Area, Channels);

                float* unitInput = input + start * inputSize;
                weights3x3.Add(chunk, unitInput, gradient3x3, images, scratch[worker]);
                weights1x1.Add(chunk, unitInput, gradient1x1, images, scratch[worker]);
                if (inputGradient is null)
                    continue;
                float* unitGradient = inputGradient + start * inputSize;
                convolution3x3.InputGradient(gradient3x3, images, scratch[worker], unitGradient, accumulate: addToInput || HasIdentity);
                convolution1x1.InputGradient(gradient1x1, images, scratch[worker], unitGradient, accumulate: true);
            }
        });
        weights3x3.Finish(input, gradients3x3.Batch);
        weights1x1.Finish(input, gradients1x1.Batch);
    }

    private void Forward(CpuBackend backend)
    {
        using var convolution3x3 = _plan3x3.NewKernel(backend);
        using var convolution1x1 = _plan1x1.NewKernel(backend);
        convolution3x3.PackForward(_kernel3x3.Data);
        convolution1x1.PackForward(_kernel1x1.Data);
        using var scratch = new WorkerScratch(backend, Math.Max(_plan3x3.ScratchLength, _plan1x1.ScratchLength));

        int batch = _input.N, unitImages = _plan3x3.UnitImages;
        var units = BatchChunks.OfUnits(batch, unitImages);
        int branches = _statistics.Length;
        bool training = _statistics.Any(statistics => statistics.UsesBatch);
        using var moments = new BranchMoments(backend.Pool, units.Count, branches, Channels);
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
        Branch first = ForwardBranch(map3x3, 0), second = ForwardBranch(map1x1, 1), identity = HasIdentity ? ForwardBranch(input, 2) : default;
        backend.Run(units.Count, (unit, worker) =>
        {
            int start = units.Start(unit), images = units.Start(unit + 1) - start, rows = images * Area;
            float* unitInput = input + start * inputSize;
            convolution3x3.Forward(convolution3x3.PrepareInput(unitInput, images, scratch[worker]), images, map3x3 + start * outputSize, scratch[worker]);
            convolution1x1.Forward(convolution1x1.PrepareInput(unitInput, images, scratch[worker]), images, map1x1 + start * outputSize, scratch[worker]);
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
        backend.Run(units.Count, (unit, _) => Combine(units.Start(unit), (units.Start(unit + 1) - units.Start(unit)) * Area));

        void Combine(int start, int rows) =>
            BranchLoops.Combine(At(first, start * outputSize), At(second, start * outputSize), At(identity, start * outputSize), rows, Channels, _relu, output + start * outputSize);
    }

    /// <summary>Computes the gradients of the batch norm parameters, and the per-channel factors of the branch gradients, which need sums over the whole batch.</summary>
    private void SumGradients(CpuBackend backend)
    {
        var chunks = BatchChunks.OfRows(Output.Pixels, 512);
        using var sums = new Sums(backend.Pool, chunks.Count, 4 * Channels);
        Branch first = BackwardBranch(_map3x3.Data, 0), second = BackwardBranch(_map1x1.Data, 1), identity = HasIdentity ? BackwardBranch(_input.Data, 2) : default;
        float* gradient = Output.Gradient;
        float* output = _relu ? Output.Data : null;
        backend.Run(chunks.Count, (chunk, _) =>
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

    private Branch ForwardBranch(float* rows, int i) => new()
    {
        Rows = rows,
        Mean = _statistics[i].Mean,
        Factor = _statistics[i].Scale,
        Offset = _statistics[i].Shift,
    };

    private Branch BackwardBranch(float* rows, int i) => new()
    {
        Rows = rows,
        Mean = _statistics[i].Mean,
        Factor = _statistics[i].GradientFactor,
        RowFactor = _statistics[i].InputFactor,
        Offset = _statistics[i].GradientOffset,
    };

    private static Branch At(Branch branch, long floats)
    {
        if (branch.Rows is not null)
            branch.Rows += floats;
        if (branch.Gradient is not null)
            branch.Gradient += floats;
        return branch;
    }

    private static CpuTensor NewOutput(CpuBackend backend, CpuTensor input, CpuTensor kernel3x3, CpuTensor kernel1x1, IReadOnlyList<BatchNormState> norms, int stride)
    {
        bool requiresGradient = input.RequiresGradient || kernel3x3.RequiresGradient || kernel1x1.RequiresGradient
            || norms.Any(norm => backend.Own(norm.Weight).RequiresGradient || backend.Own(norm.Bias).RequiresGradient);
        return backend.NewStepTensor([input.N, kernel3x3.N, ConvolutionSize.OutputOfBlock(input.H, stride), ConvolutionSize.OutputOfBlock(input.W, stride)], requiresGradient);
    }
}

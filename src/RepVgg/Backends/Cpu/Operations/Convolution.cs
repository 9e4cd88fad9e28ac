using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>2-d convolution of channels-last images, computed by a direct or a Winograd plan.</summary>
internal sealed unsafe class Convolution : CpuOperation
{
    private readonly CpuTensor _input;
    private readonly CpuTensor _kernel;
    private readonly CpuTensor? _bias;
    private readonly ConvolutionPlan _plan;

    private Convolution(CpuTensor input, CpuTensor kernel, CpuTensor? bias, ConvolutionPlan plan, CpuTensor output)
        : base(output)
    {
        _input = input;
        _kernel = kernel;
        _bias = bias;
        _plan = plan;
    }

    public static CpuTensor Apply(CpuContext context, CpuTensor input, CpuTensor kernel, CpuTensor? bias, ConvolutionGeometry geometry)
    {
        var shape = new ConvolutionShape(input.C, input.H, input.W, kernel.N, kernel.H, kernel.W, geometry);
        var plan = ConvolutionPlan.For(context, shape);
        var output = context.CreateStepTensor([input.N, shape.OutputChannels, shape.OutputHeight, shape.OutputWidth],
            input.RequiresGradient || kernel.RequiresGradient || bias is { RequiresGradient: true });

        using var convolution = plan.CreateExecutor(context);
        bool ofBatch = plan.ParallelizesOverWeights(input.N);
        if (ofBatch)
            convolution.ForwardOfBatch(kernel.Data, input.Data, input.N, output.Data);
        else
            convolution.PackForward(kernel.Data);
        float* from = input.Data;
        float* to = output.Data;
        float* biasValues = bias is null ? null : bias.Data;
        long inputSize = (long)input.C * input.Area;
        long outputSize = (long)shape.OutputChannels * shape.OutputArea;
        using var workspaces = new WorkerWorkspaces(context, plan.WorkspaceLength);
        int batch = input.N;
        context.Run(ofBatch && bias is null ? 0 : (batch + plan.UnitImages - 1) / plan.UnitImages, (unit, worker) =>
        {
            int first = unit * plan.UnitImages;
            int images = Math.Min(plan.UnitImages, batch - first);
            float* result = to + first * outputSize;
            if (!ofBatch)
                convolution.Forward(convolution.PrepareInput(from + first * inputSize, images, workspaces[worker]), images, result, workspaces[worker]);
            if (biasValues is not null)
                ChannelLoops.AddBias(result, images * shape.OutputArea, shape.OutputChannels, biasValues);
        });
        context.Record(output, () => new Convolution(input, kernel, bias, plan, output));
        return output;
    }

    public override void Backward()
    {
        var context = Output.Context;
        var shape = _plan.Shape;
        using var convolution = _plan.CreateExecutor(context);
        using var weightGradient = new WeightGradient(context, convolution, _kernel, _input.N);
        var chunks = BatchChunks.ForSums(_input.N, weightGradient.SumsLength, _plan.UnitImages);
        weightGradient.Begin(chunks.Count);

        bool needsInputGradient = _input.RequiresGradient, needsBiasGradient = _bias is { RequiresGradient: true };
        bool addToInput = false;
        float* inputGradient = needsInputGradient ? _input.GradientForWriting(out addToInput) : null;
        bool ofBatch = _plan.ParallelizesOverWeights(_input.N);
        if (needsInputGradient && !ofBatch)
            convolution.PackBackward(_kernel.Data);
        using var biasSums = new ChunkedBuffer(context.Pool, chunks.Count, needsBiasGradient ? shape.OutputChannels : 0);
        using var workspaces = new WorkerWorkspaces(context, _plan.WorkspaceLength);

        float* input = _input.Data;
        float* gradient = Output.Gradient;
        long inputSize = (long)_input.C * _input.Area;
        long outputSize = (long)shape.OutputChannels * shape.OutputArea;
        context.Run(chunks.Count, (chunk, worker) =>
        {
            weightGradient.Clear(chunk);
            biasSums.Clear(chunk);
            for (int first = chunks.Start(chunk), images; first < chunks.Start(chunk + 1); first += images)
            {
                images = Math.Min(_plan.UnitImages, chunks.Start(chunk + 1) - first);
                float* unitGradient = gradient + first * outputSize;
                weightGradient.Add(chunk, input + first * inputSize, unitGradient, images, workspaces[worker]);
                if (needsBiasGradient)
                    ChannelLoops.AddSums(unitGradient, images * shape.OutputArea, shape.OutputChannels, biasSums[chunk]);
                if (needsInputGradient && !ofBatch)
                    convolution.InputGradient(unitGradient, images, workspaces[worker], inputGradient + first * inputSize, addToInput);
            }
        });

        if (needsInputGradient && ofBatch)
            convolution.InputGradientOfBatch(_kernel.Data, gradient, _input.N, inputGradient, addToInput);
        weightGradient.Finish(input, gradient);
        if (needsBiasGradient)
            biasSums.SumInto(_bias!);
    }
}

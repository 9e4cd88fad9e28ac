using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <content>Every training form against PyTorch's results for one block, and the algebra of its branches.</content>
public abstract partial class BackendTests
{
    private const float GoldenEpsilon = 1e-5f;

    public static TheoryData<TrainingForm, string> FormBlocks
    {
        get
        {
            var data = new TheoryData<TrainingForm, string>();
            foreach (var (form, geometry) in GoldenFiles.Blocks)
                data.Add(form, geometry);
            return data;
        }
    }

    [BackendTheory]
    [MemberData(nameof(FormBlocks))]
    public void A_block_of_every_form_is_PyTorchs_in_evaluation_and_training(TrainingForm form, string geometry)
    {
        var golden = GoldenFiles.Block(form, geometry);
        using var tensors = new GoldenTensors(Backend, golden);
        var block = new TrainingBlock(GoldenFiles.BlockSpecOf(form, geometry), tensors);
        var input = golden["input"];
        using (Backend.BeginStep(training: false))
        {
            var output = block.Forward(Backend, Backend.CreateInput([.. input.Shape], input.Values));
            Compare.Close(golden["eval_output"].Values, Read(output), 1e-5, "output in evaluation");
        }
        using (Backend.BeginStep(training: true))
        {
            var x = Backend.CreateInput([.. input.Shape], input.Values, requiresGradient: true);
            var output = block.Forward(Backend, x);
            Compare.Close(golden["train_output"].Values, Read(output), 1e-5, "output in training");
            Backend.BackwardFrom(output, golden["direction"].Values);
            Compare.Close(golden["gradient/input"].Values, Gradient(x), 1e-4, "gradient by the input");
            foreach (string name in NamesIn(golden, "gradient/").Where(name => name != "input"))
            {
                float[] gradient = Gradient(tensors.Used[name]);
                // The batch norm of the sum removes any constant, so this gradient is 0 but for rounding.
                if (form == TrainingForm.QARepVgg && name == "rbr_dense.bn.bias")
                    Assert.All(gradient, value => Assert.InRange(value, -1e-4, 1e-4));
                else
                    Compare.Close(golden[$"gradient/{name}"].Values, gradient, 1e-4, $"gradient by {name}");
            }
        }
        foreach (string name in NamesIn(golden, "after/"))
            Compare.Close(golden[$"after/{name}"].Values, Read(tensors.Used[name]), 1e-5, $"{name} after training");
        Assert.Equal(NamesIn(golden, "state/").Where(name => !name.EndsWith("delta", StringComparison.Ordinal)).Order(), tensors.Used.Keys.Order());
    }

    /// <summary>The differentiable kernel and bias equal PyTorch's fused ones and the double-precision algebra of the same branches.</summary>
    [BackendTheory]
    [MemberData(nameof(FormBlocks))]
    public void The_equivalent_convolution_of_every_form_is_the_algebras(TrainingForm form, string geometry)
    {
        var golden = GoldenFiles.Block(form, geometry);
        var spec = GoldenFiles.BlockSpecOf(form, geometry);
        Assert.Equal(golden.Contains("fused/weight"), TrainingForms.FusionObstacleOf(form) is null);
        if (!golden.Contains("fused/weight"))
            return;
        var algebra = Fusion.Sum(spec, spec.Stride, name => golden[$"state/{name}"].Values, _ => GoldenEpsilon);
        Compare.Close(golden["fused/weight"].Values, algebra.Kernel.ToArray(), 1e-5, "kernel of the algebra");
        Compare.Close(golden["fused/bias"].Values, algebra.Bias.ToArray(), 1e-5, "bias of the algebra");
        if (TrainingForms.SumNormOf(form) is not null || spec.Branches.Any(branch => !branch.IsSingleLayer))
            return;
        using var tensors = new GoldenTensors(Backend, golden);
        var branches = new TrainingBlock(spec, tensors).Branches;
        using (Backend.BeginStep(training: true))
        {
            Compare.Close(algebra.Kernel.ToArray(), Read(Backend.EquivalentKernel(branches)), 1e-6, "differentiable kernel");
            Compare.Close(algebra.Bias.ToArray(), Read(Backend.EquivalentBias(branches)), 1e-6, "differentiable bias");
        }
    }

    [BackendTheory]
    [InlineData(7, 9, 1, 3, 1, 0, 1, 1)]
    [InlineData(7, 9, 3, 1, 1, 1, 0, 1)]
    [InlineData(8, 7, 1, 3, 2, 0, 1, 2)]
    [InlineData(8, 7, 3, 1, 2, 1, 0, 2)]
    [InlineData(5, 6, 3, 3, 1, 0, 2, 1)]
    public void Convolution_with_padding_that_differs_by_direction(int h, int w, int kernelHeight, int kernelWidth, int stride, int paddingHeight, int paddingWidth, int groups)
    {
        const int N = 2, C = 8, O = 12;
        new OperationCheck(Backend, 31).Input(N, C, h, w).Parameter(O, C / groups, kernelHeight, kernelWidth).Compare(
            v => ReferenceOperations.Convolution(Pad(v[0], h, w, paddingHeight, paddingWidth), N, C, h + 2 * paddingHeight, w + 2 * paddingWidth, v[1], O, kernelHeight, kernelWidth, null, stride, 0, groups),
            t => Backend.Conv2d(t[0], t[1], null, new ConvolutionGeometry(stride, groups, paddingHeight, paddingWidth, paddingHeight, paddingWidth)));
    }

    /// <summary>Any padding on each side, and dilation: the reference convolves a padded input with a kernel that has zeros between its taps.</summary>
    [BackendTheory]
    [InlineData(8, 6, 3, 2, 1, 0, 0, 1, 1, 1)]
    [InlineData(7, 9, 3, 2, 1, 1, 0, 1, 1, 2)]
    [InlineData(8, 7, 3, 2, 1, 0, 1, 1, 1, 1)]
    [InlineData(8, 6, 1, 2, 1, 0, 0, 0, 0, 1)]
    [InlineData(9, 7, 3, 1, 2, 2, 2, 2, 2, 1)]
    [InlineData(9, 7, 3, 1, 4, 4, 4, 4, 4, 2)]
    [InlineData(7, 8, 3, 1, 3, 0, 2, 3, 0, 1)]
    [InlineData(5, 6, 1, 1, 2, 0, 0, 0, 0, 1)]
    public void Convolution_with_dilation_and_padding_that_differs_by_side(int h, int w, int size, int stride, int dilation, int top, int left, int bottom, int right, int groups)
    {
        const int N = 2, O = 12;
        int c = 8, span = (size - 1) * dilation + 1;
        new OperationCheck(Backend, 31).Input(N, c, h, w).Parameter(O, c / groups, size, size).Compare(
            v => ReferenceOperations.Convolution(Pad(v[0], h, w, top, left, bottom, right), N, c, top + h + bottom, left + w + right, Spread(v[1], size, dilation), O, span, span, null, stride, 0, groups),
            t => Backend.Conv2d(t[0], t[1], null, new ConvolutionGeometry(stride, groups, top, left, bottom, right, dilation)));

        static double[] Spread(double[] kernel, int size, int dilation)
        {
            int span = (size - 1) * dilation + 1;
            var spread = new double[kernel.Length / (size * size) * span * span];
            for (int i = 0; i < kernel.Length; i++)
                spread[(i / (size * size) * span + i / size % size * dilation) * span + i % size * dilation] = kernel[i];
            return spread;
        }
    }

    /// <summary>Branches of any size, with and without batch norm; compared with the convolution by the equivalent kernel and bias.</summary>
    [BackendTheory]
    [InlineData(6, 6, 1, 1)]
    [InlineData(6, 6, 1, 3)]
    [InlineData(4, 8, 2, 2)]
    public void Any_branches_sum_to_their_equivalent_convolution(int c, int o, int stride, int groups)
    {
        var draw = new Random(41);
        var parameters = new List<Tensor>();
        var branches = new List<Branch>
        {
            new(New(draw, parameters, o, c / groups, 3, 3), Norm(0)),
            new(New(draw, parameters, o, c / groups, 1, 3), Norm(1)),
            new(New(draw, parameters, o, c / groups, 3, 1)),
            new(New(draw, parameters, o, c / groups, 1, 1)),
            new(New(draw, parameters, o, c / groups, 3, 3), Norm(2)),
        };
        // An identity may be the first branch, whose tensor is the sum's start.
        if (stride == 1 && c == o)
            branches.InsertRange(0, [new Branch(null), new Branch(null, Norm(3))]);
        float[] input = Random(new Random(42), 3, c, 7, 6);
        float[] sum, kernel, bias;
        int[] shape;
        using (Backend.BeginStep(training: false))
        {
            var x = Backend.CreateInput([3, c, 7, 6], input);
            var output = Backend.MultiBranchConv(x, branches, new(stride, groups), relu: false);
            (sum, shape) = (Read(output), [.. output.Shape]);
            Assert.Equal(input, Read(x));
            (kernel, bias) = (Read(Backend.EquivalentKernel(branches)), Read(Backend.EquivalentBias(branches)));
        }
        double[] expected = ReferenceOperations.Convolution(
            Array.ConvertAll(input, value => (double)value), 3, c, 7, 6, Array.ConvertAll(kernel, value => (double)value), o, 3, 3, Array.ConvertAll(bias, value => (double)value), stride, 1, groups);
        Compare.Close([.. expected.Select(value => (float)value)], sum, 1e-5);
        Assert.Equal([3, o, (7 + stride - 1) / stride, 6 / stride], shape);

        BatchNormState Norm(int index)
        {
            var (mean, variance) = Statistics(o, index);
            return NewState(New(draw, parameters, o), New(draw, parameters, o), o, mean, variance);
        }
    }

    [BackendFact]
    public void Blocks_that_cannot_be_computed_are_refused()
    {
        using var kernel = Backend.CreateParameter(TensorData.Zeros(4, 2, 3, 3));
        using var large = Backend.CreateParameter(TensorData.Zeros(4, 2, 5, 5));
        using (Backend.BeginStep(training: true))
        {
            var x = Input(new double[2 * 25], 1, 2, 5, 5);
            Assert.Contains("at least one branch", Assert.Throws<ArgumentException>(() => Backend.MultiBranchConv(x, [], new(1, 1), relu: true)).Message);
            Assert.Contains("[4, 2, 5, 5]", Assert.Throws<ArgumentException>(() => Backend.MultiBranchConv(x, [new Branch(large)], new(1, 1), relu: true)).Message);
            Assert.Contains("2 to 4 channels", Assert.Throws<ArgumentException>(() => Backend.MultiBranchConv(x, [new Branch(kernel), new Branch(null)], new(1, 1), relu: true)).Message);
            Tensor other = Backend.CreateParameter(TensorData.Zeros(4, 3, 1, 1));
            Assert.Contains("[4, 2, 3, 3] and [4, 3, 1, 1]", Assert.Throws<ArgumentException>(() => Backend.MultiBranchConv(x, [new Branch(kernel), new Branch(other)], new(1, 1), relu: true)).Message);
            Assert.Contains("without a kernel", Assert.Throws<ArgumentException>(() => Backend.EquivalentKernel([new Branch(null)])).Message);
        }
    }

    /// <summary>The names with a prefix, without the prefix and without batch counters.</summary>
    private static IEnumerable<string> NamesIn(StateDict golden, string prefix) => golden.Names
        .Where(name => name.StartsWith(prefix, StringComparison.Ordinal) && !name.EndsWith("num_batches_tracked", StringComparison.Ordinal))
        .Select(name => name[prefix.Length..]);

    /// <summary>The state of a golden block as tensors of a backend.</summary>
    private sealed class GoldenTensors(Backend backend, StateDict golden) : ITrainingTensors, IDisposable
    {
        private readonly List<Tensor> _constants = [];

        /// <summary>The tensors that the block uses, by their names within the block.</summary>
        public Dictionary<string, Tensor> Used { get; } = [];

        public Tensor Tensor(string name) => Create(name, isParameter: true);

        public BatchNormState Norm(string name) => new(
            Create($"{name}.weight", true), Create($"{name}.bias", true), Create($"{name}.running_mean", false), Create($"{name}.running_var", false), GoldenEpsilon);

        public Tensor Constant(TensorData values)
        {
            _constants.Add(backend.CreateBuffer(values));
            return _constants[^1];
        }

        public void Dispose()
        {
            foreach (var tensor in Used.Values.Concat(_constants))
                tensor.Dispose();
        }

        private Tensor Create(string name, bool isParameter)
        {
            string within = name["block.".Length..];
            return Used[within] = isParameter ? backend.CreateParameter(golden[$"state/{within}"]) : backend.CreateBuffer(golden[$"state/{within}"]);
        }
    }

    /// <summary>Surrounds maps [N * C, h, w] with zeros.</summary>
    private static double[] Pad(double[] maps, int h, int w, int paddingHeight, int paddingWidth) => Pad(maps, h, w, paddingHeight, paddingWidth, paddingHeight, paddingWidth);

    private static double[] Pad(double[] maps, int h, int w, int top, int left, int bottom, int right)
    {
        int height = top + h + bottom, width = left + w + right;
        var padded = new double[maps.Length / (h * w) * height * width];
        for (int i = 0; i < maps.Length; i++)
            padded[(i / (h * w) * height + i / w % h + top) * width + i % w + left] = maps[i];
        return padded;
    }
}

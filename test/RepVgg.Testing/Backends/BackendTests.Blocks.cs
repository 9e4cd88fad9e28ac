using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <content>Whole blocks equal what their primitives compose to.</content>
public abstract partial class BackendTests
{
    /// <summary>Branches that a block can have: sizes of kernels, and "id" for the identity.</summary>
    private const string RepVggBlock = "3x3 1x1", RepVggBlockWithIdentity = "3x3 1x1 id", PlainBlock = "3x3", Asymmetric = "3x3 3x1 1x3", FourConvolutions = "3x3 3x3 3x3 1x1 id";

    // A single input channel is left out where a 1x1 kernel has a batch norm of the batch: the branch is then independent of its kernel's size, and its gradient is all rounding.
    [BackendTheory]
    [InlineData(RepVggBlock, 3, 3, 7, 8, 5, 2, 1, true, true)]
    [InlineData(RepVggBlock, 3, 2, 28, 28, 16, 1, 1, true, true)]
    [InlineData(RepVggBlockWithIdentity, 9, 16, 14, 14, 16, 1, 1, true, true)]
    [InlineData(RepVggBlockWithIdentity, 9, 20, 7, 7, 20, 1, 1, false, true)]
    [InlineData(RepVggBlock, 5, 32, 7, 7, 40, 2, 1, true, true)]
    [InlineData(RepVggBlockWithIdentity, 4, 12, 6, 5, 12, 1, 4, true, true)]
    [InlineData(RepVggBlock, 4, 12, 6, 5, 24, 2, 2, true, true)]
    [InlineData(RepVggBlockWithIdentity, 3, 48, 9, 10, 48, 1, 1, true, true)]
    [InlineData(RepVggBlock, 2, 33, 33, 31, 35, 1, 1, true, true)]
    [InlineData(RepVggBlockWithIdentity, 7, 64, 7, 7, 64, 1, 1, true, true)]
    [InlineData(RepVggBlockWithIdentity, 2, 16, 1, 1, 16, 1, 1, true, true)]
    [InlineData(RepVggBlockWithIdentity, 5, 96, 4, 4, 96, 1, 1, true, true)]
    [InlineData(RepVggBlock, 5, 64, 4, 3, 104, 2, 1, true, true)]
    [InlineData(RepVggBlockWithIdentity, 5, 48, 3, 2, 48, 1, 3, true, true)]
    [InlineData(RepVggBlockWithIdentity, 3, 16, 8, 7, 16, 1, 1, true, false)]
    [InlineData(RepVggBlock, 3, 32, 8, 8, 48, 2, 1, false, false)]
    [InlineData(PlainBlock, 3, 1, 28, 27, 16, 1, 1, true, true)]
    [InlineData(PlainBlock, 3, 3, 9, 8, 20, 2, 1, false, true)]
    [InlineData(PlainBlock, 9, 48, 9, 10, 48, 1, 1, true, true)]
    [InlineData(PlainBlock, 5, 33, 7, 5, 35, 1, 1, false, true)]
    [InlineData(PlainBlock, 5, 64, 7, 7, 104, 2, 1, true, true)]
    [InlineData(PlainBlock, 4, 12, 6, 5, 24, 1, 4, true, true)]
    [InlineData(PlainBlock, 4, 12, 7, 5, 24, 2, 2, false, true)]
    [InlineData(PlainBlock, 2, 96, 4, 3, 96, 1, 1, true, true)]
    [InlineData(PlainBlock, 3, 16, 8, 7, 16, 1, 1, true, false)]
    [InlineData(PlainBlock, 3, 32, 8, 7, 37, 2, 1, false, false)]
    [InlineData("1x1", 3, 20, 7, 6, 24, 1, 1, true, true)]
    [InlineData("1x1", 3, 20, 7, 6, 24, 2, 2, true, true)]
    [InlineData("1x3", 3, 8, 7, 6, 20, 1, 1, true, true)]
    [InlineData("3x1", 3, 8, 7, 6, 20, 2, 2, false, true)]
    [InlineData("1x1 id", 3, 20, 7, 6, 20, 1, 1, true, true)]
    [InlineData("id 1x3", 3, 20, 7, 6, 20, 1, 1, false, false)]
    [InlineData(Asymmetric, 4, 32, 8, 7, 32, 1, 1, true, true)]
    [InlineData(Asymmetric, 4, 12, 7, 6, 20, 2, 2, false, true)]
    [InlineData(FourConvolutions, 4, 32, 7, 8, 32, 1, 1, true, true)]
    [InlineData(FourConvolutions, 4, 20, 5, 6, 20, 1, 2, true, false)]
    [InlineData("1x1 3x3 3x3 1x3 3x1", 4, 20, 5, 6, 36, 2, 1, false, true)]
    public void A_block_equals_its_primitives(string branches, int n, int c, int h, int w, int o, int stride, int groups, bool relu, bool training) =>
        CompareWithPrimitives(branches, n, c, h, w, o, new(stride, groups), relu, training, frozen: 0);

    /// <summary>Any of a block's batch norms may be frozen; bit i freezes the i-th.</summary>
    [BackendTheory]
    [InlineData(RepVggBlockWithIdentity, 0b111, 16, 16, 1, true)]
    [InlineData(RepVggBlockWithIdentity, 0b001, 16, 16, 1, true)]
    [InlineData(RepVggBlockWithIdentity, 0b110, 20, 20, 1, false)]
    [InlineData(RepVggBlock, 0b011, 8, 20, 2, true)]
    [InlineData(PlainBlock, 0b1, 16, 16, 1, true)]
    [InlineData(PlainBlock, 0b1, 20, 37, 2, false)]
    [InlineData(Asymmetric, 0b111, 16, 20, 1, true)]
    [InlineData(FourConvolutions, 0b10100, 20, 20, 1, true)]
    public void A_block_with_frozen_batch_norms_equals_its_primitives(string branches, int frozen, int c, int o, int stride, bool relu) =>
        CompareWithPrimitives(branches, 5, c, 7, 7, o, new(stride, 1), relu, true, frozen);

    /// <summary>What requires no gradient gets none, and the rest of the block is not affected.</summary>
    [BackendTheory]
    [InlineData(PlainBlock, false, true, true)]
    [InlineData(PlainBlock, true, false, true)]
    [InlineData(PlainBlock, true, true, false)]
    [InlineData(PlainBlock, false, false, true)]
    [InlineData(PlainBlock, true, false, false)]
    [InlineData(RepVggBlockWithIdentity, false, true, true)]
    [InlineData(FourConvolutions, true, false, false)]
    public void A_block_of_which_a_part_is_trained_equals_its_primitives(string branches, bool input, bool kernels, bool norms) =>
        CompareWithPrimitives(branches, 3, 32, 7, 6, 32, new(1, 1), relu: true, training: true, frozen: 0, input, kernels, norms);

    /// <summary>Dilated blocks, and blocks that are padded as TensorFlow pads inputs of even size with stride 2.</summary>
    [BackendTheory]
    [InlineData(RepVggBlockWithIdentity, 3, 32, 12, 12, 32, 1, 1, 2, 1, 1, true)]
    [InlineData(RepVggBlockWithIdentity, 2, 16, 9, 7, 16, 1, 1, 4, 1, 1, true)]
    [InlineData(RepVggBlock, 3, 12, 7, 6, 20, 1, 2, 2, 1, 1, false)]
    [InlineData(Asymmetric, 3, 12, 7, 6, 20, 1, 1, 3, 1, 1, true)]
    [InlineData(PlainBlock, 3, 48, 8, 8, 48, 1, 1, 2, 1, 1, true)]
    [InlineData(RepVggBlock, 3, 3, 8, 6, 16, 2, 1, 1, 0, 0, true)]
    [InlineData(RepVggBlock, 3, 32, 8, 6, 48, 2, 1, 1, 0, 0, false)]
    [InlineData(RepVggBlock, 3, 12, 7, 6, 20, 2, 2, 1, 1, 0, true)]
    [InlineData(RepVggBlock, 3, 12, 6, 7, 20, 2, 1, 1, 0, 1, true)]
    public void A_block_that_is_dilated_or_padded_on_one_side_equals_its_primitives(
        string branches, int n, int c, int h, int w, int o, int stride, int groups, int dilation, int top, int left, bool training) =>
        CompareWithPrimitives(branches, n, c, h, w, o, new(stride, groups, dilation, top, left), true, training, frozen: 0);

    [BackendFact]
    public void Padding_on_one_side_is_refused_for_odd_sizes_and_stride_1()
    {
        using var kernel = Backend.CreateParameter(TensorData.Zeros(4, 2, 3, 3));
        using (Backend.BeginStep(training: false))
        {
            var odd = Backend.CreateInput([1, 2, 5, 4], new float[40]);
            var even = Backend.CreateInput([1, 2, 4, 5], new float[40]);
            Assert.Contains("even height", Assert.Throws<ArgumentException>(() => Backend.MultiBranchConv(odd, [new Branch(kernel)], new(2, 1, Top: 0), relu: false)).Message);
            Assert.Contains("even height", Assert.Throws<ArgumentException>(() => Backend.MultiBranchConv(even, [new Branch(kernel)], new(2, 1, Left: 0), relu: false)).Message);
            Assert.Contains("stride 2", Assert.Throws<ArgumentException>(() => Backend.MultiBranchConv(even, [new Branch(kernel)], new(1, 1, Top: 0), relu: false)).Message);
            Assert.Contains("a dilation", Assert.Throws<ArgumentException>(() => Backend.MultiBranchConv(even, [new Branch(kernel)], new(2, 1, Dilation: 2), relu: false)).Message);
            Assert.Contains("dilation >= 1", Assert.Throws<ArgumentException>(() => Backend.Conv2d(even, kernel, null, new(1, 1, 1, 1, 1, 1, Dilation: 0))).Message);
        }
    }

    private void CompareWithPrimitives(
        string description, int n, int c, int h, int w, int o, BlockGeometry geometry, bool relu, bool training, int frozen, bool trainsInput = true, bool trainsKernels = true, bool trainsNorms = true)
    {
        var (stride, groups) = (geometry.Stride, geometry.Groups);
        float[] input = Random(new Random(n * 1000 + c), n, c, h, w);
        var results = new List<float[]>[2];
        for (int side = 0; side < 2; side++)
        {
            var draw = new Random(5);
            var tensors = new List<Tensor>();
            Branch[] branches = [.. description.Split(' ').Select((branch, i) => new Branch(
                branch == "id" ? null : Create(trainsKernels, o, c / groups, branch[0] - '0', branch[2] - '0'),
                Norm(i)))];
            BatchNormState[] norms = [.. branches.Select(branch => branch.Norm!)];
            float[][] means = [.. norms.Select(norm => Read(norm.RunningMean))];
            var outcome = results[side] = [];
            using (Backend.BeginStep(training, record: true))
            {
                var x = Backend.CreateInput([n, c, h, w], input, trainsInput);
                var y = Apply(x);
                outcome.Add(Read(y));
                // The input is read again where shapes allow, so that gradients add up as well.
                var total = stride == 1 && c == o ? Backend.Add(y, x) : y;
                Backend.BackwardFrom(total, Random(new Random(9), [.. total.Shape]));
                if (trainsInput)
                    outcome.Add(Gradient(x));
                outcome.AddRange(tensors.Where(tensor => tensor.Role == TensorRole.Parameter).Select(Gradient));
            }
            using (Backend.BeginStep(training))
                outcome.Add(Read(Apply(Backend.CreateInput([n, c, h, w], input))));
            using (Backend.BeginStep(training, record: false))
                outcome.Add(Read(Apply(Backend.CreateInput([n, c, h, w], input))));
            foreach (var norm in norms)
                outcome.AddRange([Read(norm.RunningMean), Read(norm.RunningVariance)]);
            for (int i = 0; i < norms.Length; i++)
                Assert.Equal(norms[i].Frozen || !training, means[i].SequenceEqual(Read(norms[i].RunningMean)));

            Tensor Apply(Tensor x) => side == 0 ? Backend.MultiBranchConv(x, branches, geometry, relu) : Composed(x, branches, geometry, relu);

            Tensor Create(bool isTrained, params int[] shape)
            {
                var values = new TensorData(shape, Random(draw, shape));
                tensors.Add(isTrained ? Backend.CreateParameter(values) : Backend.CreateBuffer(values));
                return tensors[^1];
            }

            BatchNormState Norm(int index)
            {
                var (mean, variance) = Statistics(o, index);
                return NewState(Create(trainsNorms, o), Create(trainsNorms, o), o, mean, variance) with { Frozen = (frozen >> index & 1) != 0 };
            }
        }
        for (int i = 0; i < results[0].Count; i++)
            Compare.Close(results[1][i], results[0][i], 2e-5, $"result {i}");
    }

    /// <summary>Does not use <see cref="Backend.MultiBranchConv"/>, which a backend may override.</summary>
    private Tensor Composed(Tensor x, IEnumerable<Branch> branches, BlockGeometry geometry, bool relu)
    {
        var sum = branches
            .Select(branch => Backend.BatchNorm(branch.Kernel is null ? x : Backend.Conv2d(x, branch.Kernel, null, Geometry(branch)), branch.Norm!))
            .Aggregate(Backend.Add);
        return relu ? Backend.Relu(sum) : sum;

        ConvolutionGeometry Geometry(Branch branch)
        {
            int rows = branch.KernelHeight == 3 ? geometry.Dilation : 0, columns = branch.KernelWidth == 3 ? geometry.Dilation : 0;
            return new(geometry.Stride, geometry.Groups, geometry.Top == 0 ? 0 : rows, geometry.Left == 0 ? 0 : columns, rows, columns, geometry.Dilation);
        }
    }

    private static Branch[] ToBranches(Tensor kernel3x3, BatchNormState norm3x3, Tensor kernel1x1, BatchNormState norm1x1, BatchNormState? normIdentity) =>
        normIdentity is null
            ? [new Branch(kernel3x3, norm3x3), new Branch(kernel1x1, norm1x1)]
            : [new Branch(kernel3x3, norm3x3), new Branch(kernel1x1, norm1x1), new Branch(null, normIdentity)];

    private Tensor New(Random random, List<Tensor> kept, params int[] shape)
    {
        var tensor = Backend.CreateParameter(new TensorData(shape, Random(random, shape)));
        kept.Add(tensor);
        return tensor;
    }

    private float[] Gradient(Tensor tensor)
    {
        var values = new float[tensor.Shape.Aggregate(1, (product, dimension) => product * dimension)];
        Backend.CopyGradient(tensor, values);
        return values;
    }

    private static float[] Random(Random random, params int[] shape) =>
        [.. Enumerable.Range(0, shape.Aggregate(1, (product, dimension) => product * dimension)).Select(_ => (float)OperationCheck.Gaussian(random))];
}

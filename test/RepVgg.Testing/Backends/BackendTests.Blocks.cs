using RepVgg.Backends;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <content>Whole blocks equal what their primitives compose to.</content>
public abstract partial class BackendTests
{
    // A single input channel is left out: the 1x1 branch is then independent of its kernel's size, and its gradient is all rounding.
    [BackendTheory]
    [InlineData(3, 3, 7, 8, 5, 2, 1, true, true)]
    [InlineData(3, 2, 28, 28, 16, 1, 1, true, true)]
    [InlineData(9, 16, 14, 14, 16, 1, 1, true, true)]
    [InlineData(9, 20, 7, 7, 20, 1, 1, false, true)]
    [InlineData(5, 32, 7, 7, 40, 2, 1, true, true)]
    [InlineData(4, 12, 6, 5, 12, 1, 4, true, true)]
    [InlineData(4, 12, 6, 5, 24, 2, 2, true, true)]
    [InlineData(3, 48, 9, 10, 48, 1, 1, true, true)]
    [InlineData(2, 33, 33, 31, 35, 1, 1, true, true)]
    [InlineData(7, 64, 7, 7, 64, 1, 1, true, true)]
    [InlineData(2, 16, 1, 1, 16, 1, 1, true, true)]
    [InlineData(5, 96, 4, 4, 96, 1, 1, true, true)]
    [InlineData(5, 64, 4, 3, 104, 2, 1, true, true)]
    [InlineData(5, 48, 3, 2, 48, 1, 3, true, true)]
    [InlineData(3, 16, 8, 7, 16, 1, 1, true, false)]
    [InlineData(3, 32, 8, 8, 48, 2, 1, false, false)]
    public void Multi_branch_block_equals_its_primitives(int n, int c, int h, int w, int o, int stride, int groups, bool relu, bool training)
    {
        var random = new Random(n * 1000 + c);
        var input = Random(random, n, c, h, w);
        bool identity = stride == 1 && c == o;
        var results = new List<float[]>[2];
        for (int side = 0; side < 2; side++)
        {
            var draw = new Random(5);
            var parameters = new List<Tensor>();
            var buffers = new List<Tensor>();
            Tensor kernel3x3 = New(draw, parameters, o, c / groups, 3, 3), kernel1x1 = New(draw, parameters, o, c / groups, 1, 1);
            BatchNormState norm3x3 = Norm(draw, o), norm1x1 = Norm(draw, o);
            var normIdentity = identity ? Norm(draw, o) : null;
            var outcome = results[side] = [];
            // Two blocks in a row read the same map, so that gradients add up as well.
            using (Backend.BeginStep(training, record: true))
            {
                var x = Backend.CreateInput([n, c, h, w], input, requiresGradient: true);
                var y = side == 0
                    ? Backend.MultiBranchConv(x, ToBranches(kernel3x3, norm3x3, kernel1x1, norm1x1, normIdentity), stride, groups, relu)
                    : Composed(x, kernel3x3, norm3x3, kernel1x1, norm1x1, normIdentity, stride, groups, relu);
                outcome.Add(Read(y));
                var total = identity ? Backend.Add(y, x) : y;
                Backend.BackwardFrom(total, Random(new Random(9), [.. total.Shape]));
                outcome.Add(Gradient(x));
                outcome.AddRange(parameters.Select(Gradient));
                outcome.AddRange(buffers.Select(Read));
            }

            BatchNormState Norm(Random source, int channels)
            {
                var norm = NewState(New(source, parameters, channels), New(source, parameters, channels), channels);
                buffers.AddRange([norm.RunningMean, norm.RunningVariance]);
                return norm;
            }
        }
        for (int i = 0; i < results[0].Count; i++)
            Compare.Close(results[1][i], results[0][i], 2e-5, $"result {i}");
    }

    /// <summary>The seam's own default, whatever the backend overrides.</summary>
    private Tensor Composed(Tensor x, Tensor kernel3x3, BatchNormState norm3x3, Tensor kernel1x1, BatchNormState norm1x1, BatchNormState? normIdentity, int stride, int groups, bool relu)
    {
        var sum = Backend.Add(
            Backend.BatchNorm(Backend.Conv2d(x, kernel3x3, null, stride, 1, groups), norm3x3),
            Backend.BatchNorm(Backend.Conv2d(x, kernel1x1, null, stride, 0, groups), norm1x1));
        if (normIdentity is not null)
            sum = Backend.Add(sum, Backend.BatchNorm(x, normIdentity));
        return relu ? Backend.Relu(sum) : sum;
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

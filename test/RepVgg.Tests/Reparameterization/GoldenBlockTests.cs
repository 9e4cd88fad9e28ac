using RepVgg.Reparameterization;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Tests.Reparameterization;

/// <summary>Blocks of other papers than RepVGG's, put together from linear branches and compared with PyTorch's results.</summary>
public class GoldenBlockTests
{
    private const double Tolerance = 1e-5;

    [Theory]
    [InlineData("acb-same", 1, 1)]
    [InlineData("acb-down", 2, 1)]
    [InlineData("acb-grouped", 1, 2)]
    public void Asymmetric_convolution_blocks_are_fused(string name, int stride, int groups)
    {
        var block = new Block(name, stride, groups);
        block.Check(block.Convolution("square_conv", stride).Then(block.Norm("square_bn"))
            .Plus(block.Convolution("ver_conv", stride).Then(block.Norm("ver_bn")))
            .Plus(block.Convolution("hor_conv", stride).Then(block.Norm("hor_bn"))));
    }

    [Theory]
    [InlineData("dbb-down", 2, 1)]
    [InlineData("dbb-grouped", 1, 2)]
    public void Diverse_branch_blocks_are_fused(string name, int stride, int groups)
    {
        var block = new Block(name, stride, groups);
        block.Check(block.Convolution("dbb_origin.conv", stride).Then(block.Norm("dbb_origin.bn"))
            .Plus(block.Convolution("dbb_1x1.conv", stride).Then(block.Norm("dbb_1x1.bn")))
            .Plus(block.Convolution("dbb_avg.conv", 1).Then(block.Norm("dbb_avg.bn.bn"))
                .Then(Average(block.Outputs, stride, groups)).Then(block.Norm("dbb_avg.avgbn")))
            .Plus(block.Convolution("dbb_1x1_kxk.idconv1", 1).Plus(LinearBranch.Identity(block.Inputs)).Then(block.Norm("dbb_1x1_kxk.bn1.bn"))
                .Then(block.Convolution("dbb_1x1_kxk.conv2", stride).Then(block.Norm("dbb_1x1_kxk.bn2")))));
    }

    [Fact]
    public void A_block_with_a_batch_norm_after_the_sum_is_fused()
    {
        var block = new Block("qarepvgg-same", 1, 1);
        block.Check(block.Convolution("rbr_dense.conv", 1).Then(block.Norm("rbr_dense.bn"))
            .Plus(block.Convolution("rbr_1x1", 1))
            .Plus(LinearBranch.Identity(block.Inputs))
            .Then(block.Norm("bn")));
    }

    /// <summary>The mean over 3x3 pixels of each channel.</summary>
    private static LinearBranch Average(int channels, int stride, int groups)
    {
        int inputs = channels / groups;
        var kernel = new float[channels * inputs * 9];
        for (int c = 0; c < channels; c++)
            kernel.AsSpan((c * inputs + c % inputs) * 9, 9).Fill(1f / 9);
        return LinearBranch.Convolution(new TensorData(kernel), channels, channels, 3, 3, stride, groups);
    }

    private sealed class Block(string name, int stride, int groups)
    {
        private readonly StateDict _state = PthReader.Read(GoldenFiles.PathOf(Path.Combine("blocks", $"{name}.pth")));

        public int Inputs => _state["input"].Shape[1];

        public int Outputs => _state["fused/bias"].Shape[0];

        public LinearBranch Convolution(string layer, int layerStride)
        {
            var kernel = _state[$"state/{layer}.weight"];
            return LinearBranch.Convolution(
                kernel, kernel.Shape[1] * groups, kernel.Shape[0], kernel.Shape[2], kernel.Shape[3], layerStride, groups);
        }

        public NormValues Norm(string layer) => new(
            _state[$"state/{layer}.weight"].Values, _state[$"state/{layer}.bias"].Values,
            _state[$"state/{layer}.running_mean"].Values, _state[$"state/{layer}.running_var"].Values, 1e-5);

        /// <summary>Compares the kernel, the bias, and the block's output in evaluation mode.</summary>
        public void Check(LinearBranch sum)
        {
            Assert.Equal((Inputs, Outputs, stride, groups), (sum.InputChannels, sum.OutputChannels, sum.Stride, sum.Groups));
            float[] kernel = sum.Kernel.ToArray(), bias = sum.Bias.ToArray();
            Compare.Close(_state["fused/weight"].Values, kernel, Tolerance, "kernel");
            Compare.Close(_state["fused/bias"].Values, bias, Tolerance, "bias");

            var input = _state["input"];
            var outputs = new List<float>();
            foreach (float[] image in input.Values.Chunk(input.Values.Length / input.Shape[0]))
            {
                var map = new double[input.Shape[1], input.Shape[2], input.Shape[3]];
                Buffer.BlockCopy(Array.ConvertAll(image, value => (double)value), 0, map, 0, image.Length * sizeof(double));
                outputs.AddRange(ReferenceConvolution.Run(map, kernel, Outputs, 3, 3, stride, groups, bias).Cast<double>().Select(value => (float)Math.Max(value, 0)));
            }
            Compare.Close(_state["eval_output"].Values, [.. outputs], Tolerance, "output");
        }
    }
}

using RepVgg.Architectures;
using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Float32;

/// <summary>A step that computes the convolution of a block, or a part of it.</summary>
/// <param name="block">Shape of the block.</param>
internal abstract class ConvolutionStep(BlockSpec block) : Step
{
    /// <summary>The block whose convolution the step computes.</summary>
    public BlockSpec Block => block;

    /// <summary>Whether both steps have the same type and the same shape of block.</summary>
    public override bool UsesKernelsOf(Step other) =>
        base.UsesKernelsOf(other) && other is ConvolutionStep { Block: var shape }
        && block.InputChannels == shape.InputChannels && block.OutputChannels == shape.OutputChannels
        && block.Stride == shape.Stride && block.Groups == shape.Groups;
}

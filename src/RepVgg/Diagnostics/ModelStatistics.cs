using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Weights.Naming;

namespace RepVgg.Diagnostics;

/// <summary>Output size, parameters and arithmetic of one block.</summary>
/// <param name="Block">The block.</param>
/// <param name="Height">Height of its output, in pixels.</param>
/// <param name="Width">Width of its output, in pixels.</param>
/// <param name="Parameters">Number of trained values.</param>
/// <param name="MultiplyAdds">Number of multiply-adds for one image.</param>
public sealed record BlockStatistics(BlockSpec Block, int Height, int Width, long Parameters, long MultiplyAdds)
{
    /// <summary>Number of output values for one image: channels x height x width.</summary>
    public long Activations => (long)Block.OutputChannels * Height * Width;
}

/// <summary>Parameters, multiply-adds and activations of a network. Auxiliary heads are not included.</summary>
/// <remarks>
/// A multiply-add is one multiplication and one addition. Counted are the kernel taps of convolutions, the weights of
/// linear layers, the pixels of averages over 3x3 and, in the training form, one multiply-add for every value that a batch norm scales and shifts.
/// </remarks>
/// <param name="Architecture">The architecture.</param>
/// <param name="Form">The form of the network.</param>
/// <param name="Classes">Number of classes.</param>
/// <param name="ImageHeight">Input height in pixels.</param>
/// <param name="ImageWidth">Input width in pixels.</param>
/// <param name="Blocks">Every block in order of execution.</param>
public sealed record ModelStatistics(RepVggArchitecture Architecture, WeightsForm Form, int Classes, int ImageHeight, int ImageWidth, ImmutableArray<BlockStatistics> Blocks)
{
    /// <summary>Number of trained values, including the classifier.</summary>
    public long Parameters => Blocks.Sum(block => block.Parameters) + ((long)Architecture.FeatureWidth + 1) * Classes;

    /// <summary>Number of multiply-adds for one image, including the classifier.</summary>
    public long MultiplyAdds => Blocks.Sum(block => block.MultiplyAdds) + (long)Architecture.FeatureWidth * Classes;

    /// <summary>Number of output values of all blocks for one image.</summary>
    public long Activations => Blocks.Sum(block => block.Activations);

    /// <summary>Number of values of the largest block output for one image.</summary>
    public long LargestActivation => Blocks.Max(block => block.Activations);

    /// <summary>Counts the parameters, multiply-adds and activations of a network.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="form">The form of the network.</param>
    /// <param name="classes">Number of classes; 0 for a network without a classifier.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <returns>The figures.</returns>
    /// <exception cref="ArgumentException">The architecture is invalid, the image is too small, or the number of classes is negative.</exception>
    public static ModelStatistics Of(RepVggArchitecture architecture, WeightsForm form, int classes, int imageHeight, int imageWidth)
    {
        architecture.Validate();
        architecture.ValidateImageSize(imageHeight, imageWidth);
        ArgumentOutOfRangeException.ThrowIfNegative(classes);
        var layout = form == WeightsForm.Training ? StateLayout.Training(architecture, classes) : StateLayout.Deploy(architecture, classes);
        var blocks = ImmutableArray.CreateBuilder<BlockStatistics>();
        int height = imageHeight, width = imageWidth;
        foreach (var block in architecture.Blocks)
        {
            long inputPixels = (long)height * width;
            height = ConvolutionSize.OutputOfBlock(height, block.Stride);
            width = ConvolutionSize.OutputOfBlock(width, block.Stride);
            long parameters = StateLayout.CountParameters(layout.Where(entry => entry.Name.StartsWith(block.Name + ".", StringComparison.Ordinal)));
            blocks.Add(new BlockStatistics(block, height, width, parameters, CountMultiplyAdds(block, form, inputPixels, (long)height * width)));
        }
        return new ModelStatistics(architecture, form, classes, imageHeight, imageWidth, blocks.ToImmutable());
    }

    private static long CountMultiplyAdds(BlockSpec block, WeightsForm form, long inputPixels, long pixels)
    {
        long branches = form == WeightsForm.Deploy
            ? 9 * OfConvolution(block.InputChannels, block.OutputChannels, pixels)
            : block.Branches.Sum(OfBranch) + (TrainingForms.SumNormOf(block.Form) is null ? 0 : block.OutputChannels * pixels);
        return branches + 2L * block.SqueezeWidth * block.OutputChannels;

        long OfBranch(BranchSpec branch)
        {
            long sum = 0, values = block.OutputChannels * pixels;
            int inputs = block.InputChannels;
            if (branch.First is { } first)
            {
                long firstPixels = first.Relu ? pixels : inputPixels;
                sum += first.Size * first.Size * OfConvolution(inputs, first.Channels, firstPixels) + first.Channels * firstPixels;
                inputs = first.Channels;
            }
            if (branch.KernelName is not null)
                sum += branch.KernelHeight * branch.KernelWidth * OfConvolution(inputs, block.OutputChannels, pixels);
            else if (branch.Kind == BranchKind.Average)
                sum += 9 * values;
            // A scale of a kernel is part of the kernel, which is computed once per batch.
            return sum + (branch.NormName is null && (branch.Scale is null || branch.Kind != BranchKind.Identity) ? 0 : values);
        }

        // Multiply-adds of one kernel tap.
        long OfConvolution(int inputs, int outputs, long ofPixels) => (long)inputs / block.Groups * outputs * ofPixels;
    }
}

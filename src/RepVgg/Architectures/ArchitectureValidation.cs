using System.Globalization;
using System.Text.RegularExpressions;
using RepVgg.Runtime;

namespace RepVgg.Architectures;

/// <summary>Checks that an architecture is valid, and that images are large enough for it.</summary>
internal static partial class ArchitectureValidation
{
    private const int MaximumWidth = 1 << 16;
    private const int MaximumBlocks = 1 << 12;
    private const int MaximumConvolutionBranches = 16;
    private const int MaximumProblems = 20;

    /// <summary>Maximum height and width of images in pixels, and maximum number of values of an image or feature map.</summary>
    public const int MaximumImageSide = (1 << 16) - 1;
    public const long MaximumImageValues = 1L << 29;

    /// <summary>Throws an exception if an architecture is invalid.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <exception cref="ArgumentException">The architecture is invalid. The message lists the problems, of many the first and the last ones.</exception>
    public static void Validate(this RepVggArchitecture architecture)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        var problems = Problems(architecture);
        if (problems.Count > 0)
            throw new ArgumentException(MessageText.WithoutControls($"The architecture '{architecture.Name}' cannot be built: {MessageText.Join(problems, MaximumProblems)}."), nameof(architecture));
    }

    /// <summary>Throws an exception if an image size is not positive, or larger than any network can use.</summary>
    /// <param name="height">Image height in pixels.</param>
    /// <param name="width">Image width in pixels.</param>
    /// <exception cref="ArgumentException">The height or width is not 1 to 65,535, or there are more than 2^29 pixels.</exception>
    public static void CheckImageSize(int height, int width)
    {
        if (height is < 1 or > MaximumImageSide || width is < 1 or > MaximumImageSide || (long)height * width > MaximumImageValues)
            throw new ArgumentException(string.Create(CultureInfo.InvariantCulture, $"Images of {width}x{height} pixels cannot be used: the width and the height must be 1 to {MaximumImageSide}, and there can be at most {MaximumImageValues} pixels."));
    }

    /// <summary>Throws an exception if an image size is too small or too large for an architecture.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="height">Image height in pixels.</param>
    /// <param name="width">Image width in pixels.</param>
    /// <exception cref="ArgumentException">The height or width is less than the product of the strides, or the image or a feature map would have more than 2^29 values.</exception>
    public static void ValidateImageSize(this RepVggArchitecture architecture, int height, int width)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        CheckImageSize(height, width);
        int stride = architecture.TotalStride;
        // A network that is padded for images of one size was trained on them. Its last convolution must see more than one pixel.
        int least = architecture.Stages.All(stage => stage.IsPaddedOnAllSides) ? stride : stride / 2 + 1;
        if (height < least || width < least)
        {
            throw new ArgumentException(
                $"Images of {width}x{height} pixels are too small for {architecture.Name}, which reduces them by {stride}: "
                + $"use at least {least}x{least} pixels, or a variant for small images such as {RepVggVariants.S1.Name}.");
        }

        long largest = (long)architecture.InputChannels * height * width;
        long rows = height, columns = width;
        foreach (var block in architecture.Blocks)
        {
            if ((block.PaddingTop == 0 && rows % 2 != 0) || (block.PaddingLeft == 0 && columns % 2 != 0))
            {
                throw new ArgumentException(
                    $"Images of {width}x{height} pixels cannot be used with {architecture.Name}: its convolution {block.Name} is padded on one side, as TensorFlow pads inputs of even size, but reads a map of {columns}x{rows} pixels (width x height) there. "
                    + "Use images of the size for which the network was converted.");
            }
            (rows, columns) = ((rows - 1) / block.Stride + 1, (columns - 1) / block.Stride + 1);
            largest = Math.Max(largest, block.OutputChannels * rows * columns);
        }
        if (largest > MaximumImageValues)
        {
            throw new ArgumentException(string.Create(
                CultureInfo.InvariantCulture, $"Images of {width}x{height} pixels are too large for {architecture.Name}: the image or a feature map would have {largest} values, more than {MaximumImageValues}."));
        }
    }

    /// <summary>Returns why blocks cannot be created, as clauses: values that are out of range, and combinations that are not defined.</summary>
    /// <param name="block">The block.</param>
    public static List<string> Problems(BlockSpec block)
    {
        var problems = FormProblems(block.Form, block.Groups, block.SqueezeExcitation, block.ConvolutionBranches);
        if (block.InputChannels < 1 || block.OutputChannels < 1)
            problems.Add($"it has {block.InputChannels} to {block.OutputChannels} channels, not at least 1");
        if (block.Stride < 1)
            problems.Add($"its stride is {block.Stride}, not at least 1");
        if (problems.Count == 0)
            CheckBlock(block, "it", problems);
        return problems;
    }

    private static List<string> FormProblems(TrainingForm form, int groups, SqueezeExcitation squeezeExcitation, int convolutionBranches)
    {
        var problems = new List<string>();
        if (!Enum.IsDefined(squeezeExcitation))
            problems.Add($"its squeeze-and-excitation is {(int)squeezeExcitation}, which is not a value of SqueezeExcitation");
        if (!Enum.IsDefined(form))
            problems.Add($"its training form is {(int)form}, which is not a value of TrainingForm");
        if (convolutionBranches is < 1 or > MaximumConvolutionBranches)
            problems.Add($"its number of convolution branches is {convolutionBranches}, not 1 to {MaximumConvolutionBranches}");
        if (groups < 1)
            problems.Add($"it has {groups} groups, not at least 1");
        if (form == TrainingForm.ResidualReorg && groups > 1)
            problems.Add($"it has {groups} groups, but the convolutions of {TrainingForm.ResidualReorg} have no groups");
        if (form == TrainingForm.QARepVgg && squeezeExcitation != SqueezeExcitation.None)
            problems.Add($"it has squeeze-and-excitation, which QARepVGG's authors compute at different places in training and after fusion; {TrainingForm.QARepVgg} is defined without it");
        return problems;
    }

    private static List<string> Problems(RepVggArchitecture architecture)
    {
        var problems = new List<string>();
        if (string.IsNullOrWhiteSpace(architecture.Name))
            problems.Add("it has no name");
        else if (architecture.Name.Any(char.IsControl))
            problems.Add("its name contains control characters");
        if (architecture.InputChannels is not (1 or 3))
            problems.Add($"it has {architecture.InputChannels} input channels, not 1 or 3");
        if (architecture.DefaultImageSize is < 1 or > MaximumImageSide)
            problems.Add($"its default image size is {architecture.DefaultImageSize}, not 1 to {MaximumImageSide}");
        if (!(architecture.BatchNormEpsilon > 0) || !float.IsFinite(architecture.BatchNormEpsilon))
            problems.Add(FormattableString.Invariant($"its batch-norm epsilon is {architecture.BatchNormEpsilon}, not above 0"));
        problems.AddRange(FormProblems(architecture.TrainingForm, architecture.Groups, architecture.SqueezeExcitation, architecture.ConvolutionBranches));
        if (architecture.Stages.IsDefaultOrEmpty || architecture.Stages.Length < 2)
        {
            problems.Add("it needs a stem and at least one stage");
            return problems;
        }

        CheckStages(architecture, problems);
        if (problems.Count == 0)
            CheckBlocks(architecture, problems);
        return problems;
    }

    private static void CheckStages(RepVggArchitecture architecture, List<string> problems)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        long blocks = 0, stride = 1;
        for (int i = 0; i < architecture.Stages.Length; i++)
        {
            var stage = architecture.Stages[i];
            if (stage is null)
            {
                problems.Add($"stage {i} is null");
                continue;
            }
            if (stage.Name is null || !StageName().IsMatch(stage.Name) || stage.Name is "linear")
                problems.Add($"stage {i} is named '{stage.Name}', not letters, digits and underscores");
            else if (!names.Add(stage.Name))
                problems.Add($"two stages are named '{stage.Name}'");
            if (stage.Width is < 1 or > MaximumWidth)
                problems.Add($"{stage.Name} has width {stage.Width}, not 1 to {MaximumWidth}");
            if (i == 0 ? stage.Depth != 1 : stage.Depth < 1)
                problems.Add($"{stage.Name} has depth {stage.Depth}, not {(i == 0 ? "1, as a stem has" : "at least 1")}");
            if (stage.Stride is not (1 or 2))
                problems.Add($"{stage.Name} has stride {stage.Stride}, not 1 or 2");
            if (stage.PaddingTop is not (0 or 1) || stage.PaddingLeft is not (0 or 1))
                problems.Add($"{stage.Name} is padded by {stage.PaddingTop} at the top and {stage.PaddingLeft} at the left, not by 0 or 1");
            else if (!stage.IsPaddedOnAllSides && stage.Stride != 2)
                problems.Add($"{stage.Name} is padded on one side, but has stride {stage.Stride}, not 2");
            else if (!stage.IsPaddedOnAllSides && architecture.TrainingForm != TrainingForm.RepVgg)
                problems.Add($"{stage.Name} is padded on one side, which is defined for the training form {TrainingForm.RepVgg} only, not for {architecture.TrainingForm}");
            if (stage.AuxiliaryHead && (!architecture.PlusLayout || i == 0 || i == architecture.Stages.Length - 1))
                problems.Add($"{stage.Name} has an auxiliary head; only inner stages of the RepVGGplus layout can have one");
            blocks += stage.Depth;
            stride = Math.Min(stride * Math.Max(stage.Stride, 1), int.MaxValue);
        }
        if (blocks > MaximumBlocks)
            problems.Add($"it has {blocks} blocks, more than {MaximumBlocks}");
        if (stride > MaximumWidth)
            problems.Add($"the product of its strides is more than {MaximumWidth}");
        if (problems.Count == 0)
            CheckDilation(architecture, problems);
    }

    private static void CheckDilation(RepVggArchitecture architecture, List<string> problems)
    {
        int spanned = 1;
        string strides = string.Join(", ", architecture.Stages.Select(stage => stage.Stride));
        if (architecture.OutputStride is { } output && output != 1 && !architecture.Stages.Any(stage => (spanned *= stage.Stride) == output))
            problems.Add($"its output stride is {output}, not a product of its first strides ({strides})");
        if (architecture.DilatedBlocks is { } blocks && architecture.OutputStride is null)
            problems.Add($"it has {blocks} dilated blocks, but no output stride");
        else if (architecture.DilatedBlocks is { } dilated && (dilated < 0 || dilated > architecture.Stages.Sum(architecture.BlocksOf)))
            problems.Add($"it has {dilated} dilated blocks of {architecture.Stages.Sum(architecture.BlocksOf)}");
    }

    private static void CheckBlocks(RepVggArchitecture architecture, List<string> problems)
    {
        foreach (var block in architecture.Blocks)
            CheckBlock(block, block.Name, problems);
    }

    private static void CheckBlock(BlockSpec block, string name, List<string> problems)
    {
        if (block.InputChannels % block.Groups != 0 || block.OutputChannels % block.Groups != 0)
            problems.Add($"{name} has {block.InputChannels} to {block.OutputChannels} channels, which {block.Groups} groups do not divide");
        if (block.Dilation > 1 && !block.Branches.All(branch => branch.IsSingleLayer))
            problems.Add($"{name} is dilated, which is not defined for the training form {block.Form}, whose branches have several layers");
        if (block.SqueezeExcitation != SqueezeExcitation.None && block.SqueezeWidth < 1)
            problems.Add($"{name} has {block.OutputChannels} channels, too few for its squeeze-and-excitation");
    }

    [GeneratedRegex(@"\A[A-Za-z][A-Za-z0-9_]{0,63}\z")]
    private static partial Regex StageName();
}

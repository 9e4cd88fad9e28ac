using System.Drawing;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Segmentation;

public class SegmentationDataSetTests
{
    private static void Touch(TemporaryFolder folder, params string[] files)
    {
        foreach (string file in files)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(folder.File(file))!);
            File.WriteAllText(folder.File(file), "");
        }
    }

    private static string[] Names(TemporaryFolder folder, IEnumerable<SegmentationSample> samples) =>
        [.. samples.Select(sample => $"{Path.GetRelativePath(folder.Path, sample.ImagePath)}|{Path.GetRelativePath(folder.Path, sample.MaskPath)}".Replace('\\', '/'))];

    [Theory]
    [InlineData("images", "masks")]
    [InlineData("images", "annotations")]
    [InlineData("images", "labels")]
    public void Images_and_masks_of_the_same_name(string images, string masks)
    {
        using var folder = new TemporaryFolder();
        Touch(folder, $"{images}/b.jpg", $"{images}/a.png", $"{images}/deep/c.JPEG", $"{images}/notes.txt", $"{masks}/a.png", $"{masks}/b.PNG", $"{masks}/deep/c.png", $"{images}/._a.png", $"{images}/.cache/d.png", $"{masks}/._a.png");
        var set = SegmentationDataSet.FromFolder(folder.Path);
        Assert.Equal([$"{images}/a.png|{masks}/a.png", $"{images}/b.jpg|{masks}/b.PNG", $"{images}/deep/c.JPEG|{masks}/deep/c.png"], Names(folder, set.Training));
        Assert.Empty(set.Validation);
        Assert.Empty(set.ClassNames);
    }

    [Theory]
    [InlineData("images/train", "masks/train", "images/val", "masks/val")]
    [InlineData("images/training", "annotations/training", "images/validation", "annotations/validation")]
    [InlineData("train/images", "train/masks", "val/images", "val/masks")]
    public void Folders_for_training_and_validation(string images, string masks, string validationImages, string validationMasks)
    {
        using var folder = new TemporaryFolder();
        Touch(folder, $"{images}/a.png", $"{masks}/a.png", $"{validationImages}/b.png", $"{validationMasks}/b.png");
        var set = SegmentationDataSet.FromFolder(folder.Path);
        Assert.Equal([$"{images}/a.png|{masks}/a.png"], Names(folder, set.Training));
        Assert.Equal([$"{validationImages}/b.png|{validationMasks}/b.png"], Names(folder, set.Validation));
    }

    [Fact]
    public void Cityscapes()
    {
        using var folder = new TemporaryFolder();
        Touch(folder, "leftImg8bit/train/aachen/aachen_1_leftImg8bit.png", "gtFine/train/aachen/aachen_1_gtFine_labelTrainIds.png", "gtFine/train/aachen/aachen_1_gtFine_labelIds.png", "leftImg8bit/val/ulm/ulm_2_leftImg8bit.png", "gtFine/val/ulm/ulm_2_gtFine_labelTrainIds.png");
        var set = SegmentationDataSet.FromFolder(folder.Path);
        Assert.Equal(["leftImg8bit/train/aachen/aachen_1_leftImg8bit.png|gtFine/train/aachen/aachen_1_gtFine_labelTrainIds.png"], Names(folder, set.Training));
        Assert.Single(set.Validation);
        Assert.Equal((19, "road", "bicycle"), (set.ClassNames.Count, set.ClassNames[0], set.ClassNames[18]));
        Assert.Equal(19, set.ClassColors.Count);

        File.Delete(folder.File("gtFine/val/ulm/ulm_2_gtFine_labelTrainIds.png"));
        Assert.Contains("createTrainIdLabelImgs", Assert.Throws<InvalidDataException>(() => SegmentationDataSet.FromFolder(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Lists()
    {
        using var folder = new TemporaryFolder();
        Touch(folder, "x/1.jpg", "y/1.png", "x/two words.jpg", "y/2.png");
        File.WriteAllText(folder.File("train.txt"), "x/1.jpg y/1.png\n\nx/two words.jpg\ty/2.png\n");
        File.WriteAllText(folder.File("val.txt"), "/x/1.jpg y/1.png\r\n");
        File.WriteAllText(folder.File("classes.txt"), "ground 1 2 3\nblue sky 0 0 255\n");
        var set = SegmentationDataSet.FromFolder(folder.Path);
        Assert.Equal(["x/1.jpg|y/1.png", "x/two words.jpg|y/2.png"], Names(folder, set.Training));
        Assert.Equal(["x/1.jpg|y/1.png"], Names(folder, set.Validation));
        Assert.Equal(["ground", "blue sky"], set.ClassNames);
        Assert.Equal([Color.FromArgb(1, 2, 3), Color.FromArgb(0, 0, 255)], set.ClassColors);

        File.WriteAllText(folder.File("train.txt"), "x/1.jpg y/1.png\nx/1.jpg\n");
        Assert.Contains("line 2: it has 1 part(s)", Refused(folder.Path), StringComparison.Ordinal);
        File.WriteAllText(folder.File("train.txt"), "x/1.jpg y/9.png\n");
        Assert.Contains("line 1: there is no file", Refused(folder.Path), StringComparison.Ordinal);
        File.WriteAllText(folder.File("train.txt"), "\n");
        Assert.Contains("has no files", Refused(folder.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void What_does_not_fit_is_named()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains("no data set for segmentation", Refused(folder.Path), StringComparison.Ordinal);
        Assert.Throws<DirectoryNotFoundException>(() => SegmentationDataSet.FromFolder(folder.File("none")));
        Directory.CreateDirectory(folder.File("images"));
        Directory.CreateDirectory(folder.File("masks"));
        Assert.Contains("no images with masks", Refused(folder.Path), StringComparison.Ordinal);
        Touch(folder, "images/a.png", "images/b.png", "masks/a.png");
        Assert.Contains("1 images", Refused(folder.Path), StringComparison.Ordinal);
        Assert.Contains("'b.png'", Refused(folder.Path), StringComparison.Ordinal);
        Touch(folder, "masks/b.png", "masks/c.png");
        Assert.Contains("1 masks", Refused(folder.Path), StringComparison.Ordinal);
        File.Delete(folder.File("masks/c.png"));
        File.WriteAllText(folder.File("classes.txt"), "a 1 2 3\nb\n");
        Assert.Contains("1 of 2 classes have no colour", Refused(folder.Path), StringComparison.Ordinal);
        File.WriteAllText(folder.File("classes.txt"), "a 1 2 300\n");
        Assert.Contains("three numbers of 0 to 255", Refused(folder.Path), StringComparison.Ordinal);
        File.WriteAllText(folder.File("classes.txt"), "a\na\n");
        Assert.Contains("the class 'a' twice", Refused(folder.Path), StringComparison.Ordinal);
        File.WriteAllText(folder.File("classes.txt"), "a 1 2 3\nignored 224 224 192\nb 4 5 6\n");
        var set = SegmentationDataSet.FromFolder(folder.Path);
        Assert.Equal(["a", "b"], set.ClassNames);
        Assert.Equal([Color.FromArgb(224, 224, 192)], set.IgnoredColors);
        Touch(folder, "images/a.jpg");
        Assert.Contains("their masks would be the same", Refused(folder.Path), StringComparison.Ordinal);
        File.WriteAllText(folder.File("val.txt"), "images/a.png masks/a.png\n");
        Assert.Contains("no list 'train.txt'", Refused(folder.Path), StringComparison.Ordinal);
    }

    private static string Refused(string folder) => Assert.Throws<InvalidDataException>(() => SegmentationDataSet.FromFolder(folder)).Message;
}

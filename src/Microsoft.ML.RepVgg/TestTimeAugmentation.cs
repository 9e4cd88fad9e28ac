namespace Microsoft.ML.RepVgg;

/// <summary>The views of an image that a classifier scores. The result is the mean of their probabilities, not of their logits; the weights are equal unless the value says otherwise.</summary>
/// <remarks>
/// Each view takes the time of an image, so that scoring takes as many times as long. Views that are shifted are black (0) where they lack pixels, like the images that training shifts. The crops have the size of the network's input and are cut from the image at 8/7 of that size, or at the size of <see cref="RepVggImageOptions.CropFraction"/>,
/// 256 for 224 pixels, rounded up; the image is resized to it as the options say. Source of the crops: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012, section 4.1. Source of the shifts and of their weights: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024,
/// which averages logits and, there as in training, reflects the pixels at the edges.
/// </remarks>
public enum TestTimeAugmentation
{
    /// <summary>The image alone.</summary>
    None,

    /// <summary>2 views: the image, and the image mirrored left to right.</summary>
    HorizontalFlip,

    /// <summary>5 views: crops at the four corners and at the centre. For columns of images, not of vectors.</summary>
    FiveCrop,

    /// <summary>10 views: the five crops, and each of them mirrored left to right. For columns of images, not of vectors.</summary>
    TenCrop,

    /// <summary>
    /// 6 views: the image, the image shifted by one pixel of the network's input up and to the left, and down and to the right, and each of the three mirrored left to right. The image and its mirror image have twice the
    /// weight of the others. For small images that are trained with shifts; the crops of <see cref="FiveCrop"/> would enlarge them.
    /// </summary>
    HorizontalFlipAndShift,
}

using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Data;

/// <summary>Scores with a multiclass model: adds a score per class, and the class of the highest as a key.</summary>
public sealed class MulticlassPredictionTransformer<TModel> : SingleFeaturePredictionTransformerBase<TModel>
    where TModel : class
{
    private readonly ClassNames _names;

    internal MulticlassPredictionTransformer(
        IHostEnvironment environment, TModel model, DataViewSchema trainSchema, string featureColumn, string labelColumn)
        : this(environment, model, featureColumn, trainSchema[featureColumn].Type, ClassNames.Of(trainSchema[labelColumn]))
    {
    }

    internal MulticlassPredictionTransformer(
        IHostEnvironment environment, TModel model, string featureColumn, DataViewType featureType, ClassNames names)
        : base(environment.Register("MulticlassPredictionTransformer"), model, featureColumn, featureType)
    {
        _names = names;
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) =>
        new MulticlassScoring((IMulticlassModel)Model, inputSchema, FeatureColumnName, _names);

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(MulticlassPredictionTransformer.LoaderName);
        ctx.Writer.Write(FeatureColumnName);
        VectorDataViewType type = (VectorDataViewType)FeatureColumnType;
        ctx.Writer.Write(type.Dimensions.Length);
        foreach (int dimension in type.Dimensions)
        {
            ctx.Writer.Write(dimension);
        }

        _names.Save(ctx);
        ctx.SavePart(MulticlassPredictionTransformer.ModelPart, (ICanSaveModel)Model);
    }
}

/// <summary>Loads <see cref="MulticlassPredictionTransformer{TModel}"/>.</summary>
internal static class MulticlassPredictionTransformer
{
    internal const string LoaderName = "MulticlassPredXfer";
    internal const string ModelPart = "Model";

    [ModelLoader(LoaderName)]
    internal static object Load(IHostEnvironment environment, ModelLoadContext context)
    {
        string feature = context.Reader.ReadString();
        int[] dimensions = new int[context.Reader.ReadInt32()];
        foreach (ref int dimension in dimensions.AsSpan())
        {
            dimension = context.Reader.ReadInt32();
        }

        ClassNames names = ClassNames.Load(context);
        object model = context.LoadPart<object>(environment, ModelPart);
        return Activator.CreateInstance(
            typeof(MulticlassPredictionTransformer<>).MakeGenericType(model.GetType()),
            System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic,
            binder: null,
            [environment, model, feature, new VectorDataViewType(NumberDataViewType.Single, dimensions), names],
            culture: null);
    }
}

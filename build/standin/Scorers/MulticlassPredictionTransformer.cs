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
        ValueSerializer.WriteType(ctx.Writer, FeatureColumnType);
        _names.Save(ctx.Writer);
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
        DataViewType type = ValueSerializer.ReadType(context.Reader);
        ClassNames names = ClassNames.Load(context.Reader);
        object model = context.LoadPart<object>(environment, ModelPart);
        return Activator.CreateInstance(
            typeof(MulticlassPredictionTransformer<>).MakeGenericType(model.GetType()),
            System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic,
            binder: null,
            [environment, model, feature, type, names],
            culture: null);
    }
}
